//! # terminal: the debugger's commands, line by line
//!
//! A person types them, or a script has them on stdin. A command that cannot be carried out prints what to
//! write, and the next one follows.

#[cfg(test)]
mod tests;

use lockstep_machine::{DebugStep, Debugger, Destination, MachineFault, Recording, Seq, StateMachine};
use std::io::{self, BufRead, Write};

/// The most bytes of a state that are printed as text.
const TEXT_SHOWN: usize = 64 << 10;
/// The most bytes of a state that are printed as hexadecimal digits.
const HEX_SHOWN: usize = 4 << 10;

/// The output of `h`.
const HELP: &str = "\
s [N]    steps N inputs forward, 1 by default
b [N]    steps N inputs back
g SEQ    goes to the first input at or behind this seq, forward or back
o        goes to the next output; o TEXT: whose content has this text; o @N: whose destination is N
d        goes to the next difference: another output in the stream, or another digest of a replica
p        prints the state: the machine's own text of it, or else its snapshot
q TEXT   asks the machine, as its page does, and prints the answer
t        prints one line for each input from the beginning to the end, for programs
h        prints this
x        ends
Nothing is published. An input is an entry of the stream, with the timers that fire before it.";

/// The result of a command.
type Done = Result<(), Trouble>;

enum Trouble {
    /// Nothing more can be printed.
    Io(io::Error),
    /// It was not carried out.
    NotDone(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<MachineFault> for Trouble {
    fn from(fault: MachineFault) -> Self {
        let then = match fault {
            MachineFault::Machine(_) => "; b or g goes to an input before",
            _ => "",
        };
        Self::NotDone(format!("{fault}{then}"))
    }
}

/// The terminal: see the module.
pub(crate) struct Terminal<M, R, I, O> {
    debugger: Debugger<M, R>,
    input: I,
    out: O,
    prompts: bool,
    has_warned: bool,
}

impl<M: StateMachine, R: Recording, I: BufRead, O: Write> Terminal<M, R, I, O> {
    /// A terminal that reads commands from `input`; with `prompts` it prints its position before each.
    pub(crate) fn new(debugger: Debugger<M, R>, input: I, out: O, prompts: bool) -> Self {
        Self { debugger, input, out, prompts, has_warned: false }
    }

    /// Carries out commands until `x` or the input's end.
    pub(crate) fn run(mut self) -> io::Result<()> {
        if self.prompts {
            writeln!(self.out, "at the stream's beginning; h lists the commands")?;
        }
        let mut line = Vec::new();
        loop {
            if self.prompts {
                write!(self.out, "(seq {}) ", self.seq())?;
            }
            self.out.flush()?;
            line.clear();
            if self.input.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line);
            let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
            if word == "x" {
                return Ok(());
            }
            match self.carry_out(word, rest.trim()) {
                Ok(()) => {}
                Err(Trouble::Io(error)) => return Err(error),
                Err(Trouble::NotDone(what)) => writeln!(self.out, "error: {what}")?,
            }
            self.warn()?;
        }
    }

    fn seq(&self) -> Seq {
        self.debugger.step().map_or(0, |step| step.seq)
    }

    fn carry_out(&mut self, word: &str, rest: &str) -> Done {
        match word {
            "" => Ok(()),
            "s" => self.forward(rest),
            "b" => {
                let steps = count("b", rest)?;
                self.debugger.back(steps)?;
                self.show()
            }
            "g" => self.go_to(rest),
            "o" => self.next_output(rest),
            "d" => self.next_difference(),
            "p" => self.print_state(),
            "q" => {
                let mut answer = Vec::new();
                self.debugger.machine().query(rest.as_bytes(), &mut answer);
                self.print_bytes("answer", &answer)
            }
            "t" => self.trace(),
            "h" => Ok(writeln!(self.out, "{HELP}")?),
            _ => Err(Trouble::NotDone(format!("there is no command '{word}'; h lists them"))),
        }
    }

    fn forward(&mut self, rest: &str) -> Done {
        for _ in 0..count("s", rest)? {
            if !self.debugger.forward()? {
                self.show()?;
                return self.say_end();
            }
        }
        self.show()
    }

    fn go_to(&mut self, rest: &str) -> Done {
        let wrong = |_| Trouble::NotDone("write g SEQ, with a number, like g 5090".to_owned());
        let seq = rest.parse().map_err(wrong)?;
        let is_there = self.debugger.go_to(seq)?;
        self.show()?;
        if is_there { Ok(()) } else { self.say_end() }
    }

    fn next_output(&mut self, rest: &str) -> Done {
        let destination: Option<Destination> = match rest.strip_prefix('@').map(str::parse) {
            None => None,
            Some(Ok(destination)) => Some(destination),
            Some(Err(_)) => {
                return Err(Trouble::NotDone("write o @N, with the number of a destination".to_owned()));
            }
        };
        let text = if destination.is_some() { "" } else { rest };
        let fits = |(to, payload): (Destination, &[u8])| {
            destination.is_none_or(|wanted| wanted == to)
                && (text.is_empty() || payload.windows(text.len()).any(|part| part == text.as_bytes()))
        };
        let wanted = |step: &DebugStep| step.applied.iter().any(|one| one.output.published().any(fits));
        let found = self.debugger.forward_until(wanted)?;
        self.show()?;
        if found { Ok(()) } else { self.say_end() }
    }

    fn next_difference(&mut self) -> Done {
        let Some(found) = self.debugger.forward_to_difference()? else {
            self.show()?;
            return self.say_end();
        };
        if let Some(of) = found.of {
            self.debugger.go_to(of)?;
        }
        self.show()?;
        Ok(writeln!(self.out, "  difference: {}", found.text)?)
    }

    fn say_end(&mut self) -> Done {
        Ok(writeln!(self.out, "the stream ends here; the next command reads what follows")?)
    }

    fn show(&mut self) -> Done {
        let Self { debugger, out, .. } = self;
        let Some(step) = debugger.step() else {
            return Ok(writeln!(out, "at the stream's beginning, before its first input")?);
        };
        let (seconds, nanos) = (step.time / 1_000_000_000, step.time % 1_000_000_000);
        writeln!(out, "input {}, seq {}, time {seconds}.{nanos:09}", step.number, step.seq)?;
        for applied in &step.applied {
            writeln!(out, "  {}", applied.input)?;
            for effect in &applied.effects {
                writeln!(out, "    {effect}")?;
            }
        }
        for (key, due) in debugger.timers() {
            writeln!(out, "  pending: timer {key}, due at {due}")?;
        }
        Ok(writeln!(out, "  digest {:016x}", debugger.digest())?)
    }

    fn print_state(&mut self) -> Done {
        if let Some(text) = self.debugger.machine().state_text() {
            return self.print_bytes("state", text.as_bytes());
        }
        let mut bytes = Vec::new();
        self.debugger.machine().snapshot(&mut bytes).map_err(|error| {
            Trouble::NotDone(format!("the machine has no state_text, and its snapshot fails: {error}"))
        })?;
        self.print_bytes("state, by its snapshot,", &bytes)
    }

    /// Prints bytes as text if they are text, otherwise as hexadecimal digits.
    fn print_bytes(&mut self, what: &str, bytes: &[u8]) -> Done {
        let out = &mut self.out;
        writeln!(out, "{what} of {} bytes:", bytes.len())?;
        let is_shown = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t' | '\r');
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(is_shown));
        let shown = match text {
            Some(text) => {
                let end = (0..=text.len().min(TEXT_SHOWN)).rev().find(|end| text.is_char_boundary(*end));
                let end = end.unwrap_or(0);
                text[..end].lines().try_for_each(|line| writeln!(out, "  {line}"))?;
                end
            }
            None => {
                let shown = &bytes[..bytes.len().min(HEX_SHOWN)];
                for (row, bytes) in shown.chunks(16).enumerate() {
                    write!(out, "  {:06x}", row * 16)?;
                    bytes.iter().try_for_each(|byte| write!(out, " {byte:02x}"))?;
                    writeln!(out)?;
                }
                shown.len()
            }
        };
        if shown < bytes.len() {
            writeln!(out, "  and {} bytes more", bytes.len() - shown)?;
        }
        Ok(())
    }

    /// Prints lines of fields with tabs in between: `trace`, the seq, inputs with effects, and the digest;
    /// `differs`, the seq of the input, and what the stream has; `end` and the number of inputs at the end.
    fn trace(&mut self) -> Done {
        self.debugger.back(u64::MAX)?;
        loop {
            let goes_on = self.debugger.forward()?;
            while let Some(found) = self.debugger.take_difference() {
                writeln!(self.out, "differs\t{}\t{}", found.of.unwrap_or(found.seq), found.text)?;
            }
            let Some(step) = self.debugger.step().filter(|_| goes_on) else { break };
            let all = step.applied.iter().flat_map(|one| std::iter::once(&one.input).chain(&one.effects));
            let words = all.map(String::as_str).collect::<Vec<_>>().join("; ").replace(['\t', '\n'], " ");
            writeln!(self.out, "trace\t{}\t{words}\t{:016x}", step.seq, self.debugger.digest())?;
        }
        let steps = self.debugger.step().map_or(0, |step| step.number);
        Ok(writeln!(self.out, "end\t{steps}")?)
    }

    /// Prints once that snapshots are not used.
    fn warn(&mut self) -> io::Result<()> {
        if let Some(why) = self.debugger.snapshot_error().filter(|_| !self.has_warned) {
            self.has_warned = true;
            writeln!(
                self.out,
                "warning: {why}; steps back read the stream from its beginning. Correct snapshot and \
                 restore: a replica would not start with this snapshot"
            )?;
        }
        Ok(())
    }
}

/// A number of steps.
fn count(command: &str, rest: &str) -> Result<u64, Trouble> {
    let wrong = || Trouble::NotDone(format!("write {command}, or {command} N with a number from 1"));
    match rest {
        "" => Ok(1),
        number => number.parse().ok().filter(|steps| *steps > 0).ok_or_else(wrong),
    }
}
