use super::*;
use lockstep_client::{Cursor, Message, SubscriberEvent};
use lockstep_machine::{EVERYBODY, Input, InputEvent, MachineSettings, Output};
use std::io::Read;

/// Counts messages, answers each second one, and ends an hour later.
#[derive(Default)]
struct Counter(u8);

impl StateMachine for Counter {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        if let InputEvent::Message { publisher, .. } = input.event {
            self.0 += 1;
            if self.0.is_multiple_of(2) {
                output.publish(publisher, format!("count {}", self.0).as_bytes());
            } else {
                output.publish(EVERYBODY, &[0xff, self.0]);
                output.timer_after(7, 25, b"later");
            }
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&[self.0])
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        Ok(Self(byte[0]))
    }

    fn query(&self, request: &[u8], answer: &mut Vec<u8>) {
        answer.extend_from_slice(request);
        answer.extend_from_slice(format!(" {}", self.0).as_bytes());
    }
}

/// A name that is opened, and its messages; entry 5 is an output that this machine does not have.
struct Recorded(Seq);

impl Recording for Recorded {
    fn begin(&mut self, from: Option<&Cursor>) -> Result<(), MachineFault> {
        self.0 = from.map_or(1, |cursor| cursor.seq);
        Ok(())
    }

    fn next(&mut self, show: &mut dyn FnMut(&SubscriberEvent<'_>)) -> Result<bool, MachineFault> {
        let (seq, timestamp) = (self.0, self.0 * 10);
        let opened = |publisher, name| {
            let (incarnation, nonce, last) = (1, [1, 2], 0);
            SubscriberEvent::Opened { seq, timestamp, publisher, incarnation, nonce, last, name }
        };
        let message = |publisher, payload| {
            let (publisher_seq, destination) = (seq, EVERYBODY);
            SubscriberEvent::Message(Message {
                seq,
                publisher,
                publisher_seq,
                destination,
                timestamp,
                payload,
            })
        };
        match seq {
            1 => show(&opened(1, "orders")),
            2 => show(&opened(2, "counter")),
            5 => show(&message(2, b"planted")),
            3..9 => show(&message(1, b"hello")),
            _ => return Ok(false),
        }
        self.0 += 1;
        Ok(true)
    }

    fn place(&self) -> Option<(Cursor, Seq)> {
        Some((Cursor { history: 1, seq: self.0, chain: 0 }, self.0))
    }
}

/// The output of a script.
fn printed(script: &str) -> String {
    let settings = MachineSettings { name: "counter".to_owned(), digest_every: 1_000 };
    let debugger = Debugger::new(settings, Recorded(1), Counter::default).expect("a recording").every(2);
    let mut out = Vec::new();
    Terminal::new(debugger, script.as_bytes(), &mut out, false).run().expect("memory");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn steps_forward_and_back_print_the_same_and_a_state_goes_with_them() {
    let text = printed("s 3\np\nq how many?\nb\ns\n");
    let steps: Vec<_> = text.split("input ").collect();
    assert_eq!((steps.len(), steps[1].split("state").next()), (4, Some(steps[3])), "{text}");
    let third = "3, seq 4, time 0.000000040\n  message 4 of 'orders' (publisher 1): \"hello\" to everybody\n    \
        publishes \"count 2\" to 'orders' (publisher 1)\n  pending: timer 7, due at 55\n  digest ";
    assert!(steps[1].starts_with(third), "{text}");
    assert!(text.contains("state, by its snapshot, of 1 bytes:\n  000000 02\n"), "{text}");
    assert!(text.contains("answer of 11 bytes:\n  how many? 2\n"), "{text}");
    assert!(steps[2].starts_with("2, seq 3, "), "{text}");
}

#[test]
fn it_goes_to_a_seq_to_outputs_and_to_the_difference_with_both_outputs() {
    assert!(printed("g 7\n").starts_with("input 5, seq 7, "));
    assert!(printed("g 7\ng 4\n").contains("\ninput 3, seq 4, "));
    assert!(printed("o\n").starts_with("input 2, seq 3, "));
    assert!(printed("o count\no count\n").contains("\ninput 5, seq 7, "));
    assert!(printed("o @1\n").starts_with("input 3, seq 4, "));
    let difference = printed("d\n");
    assert!(difference.starts_with("input 2, seq 3, "), "the input that made the output: {difference}");
    let both = "  difference: output 1 is \"planted\" to everybody in the stream at seq 5, and this machine has \
        \"\\xff\\x01\" to everybody, of the input of seq 3\n";
    assert!(difference.ends_with(both), "{difference}");
    let end = printed("s 100\n");
    assert!(end.contains("input 6, seq 8, ") && end.contains("the stream ends here"), "{end}");
    let fired = printed("g 6\n");
    assert!(fired.contains("timer 7, due at 55, fires with \"later\""), "{fired}");
}

#[test]
fn a_trace_has_a_line_for_each_input_and_what_the_stream_has_besides() {
    let text = printed("s 4\nt\n");
    let lines: Vec<_> = text.lines().filter(|line| line.contains('\t')).collect();
    let seqs: Vec<_> =
        lines.iter().filter_map(|line| line.strip_prefix("trace\t")?.split('\t').next()).collect();
    assert_eq!(seqs, ["1", "3", "4", "6", "7", "8"], "{text}");
    assert!(lines.iter().any(|line| line.starts_with("differs\t3\toutput 1 is ")), "{text}");
    assert_eq!(lines.last(), Some(&"end\t6"));
}

#[test]
fn what_cannot_be_carried_out_says_what_to_write_and_the_next_command_follows() {
    for (script, part) in [
        ("z\n", "error: there is no command 'z'; h lists them"),
        ("g\n", "error: write g SEQ"),
        ("g -1\n", "error: write g SEQ"),
        ("s 0\n", "error: write s, or s N"),
        ("b x\n", "error: write b, or b N"),
        ("o @x\n", "error: write o @N"),
    ] {
        let text = printed(&format!("{script}s\n"));
        assert!(text.starts_with(part) && text.contains("\ninput 1, seq 1"), "{script}: {text}");
    }
    assert_eq!(printed("x\ns\n"), "");
    assert!(printed("h").contains("b [N]"));
}
