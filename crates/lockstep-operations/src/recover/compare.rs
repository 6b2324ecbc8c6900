//! Which of several journals holds most: the one on which a history is to be founded.

use super::journal_report::JournalHoldings;
use crate::OperationError;
use std::collections::BTreeSet;

/// What a comparison says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// The place of the one that holds most.
    pub longest: usize,
    /// For the operator, in order.
    pub remarks: Vec<String>,
    /// Complete members of the longest one's membership are a quorum: they only need to be started.
    pub has_quorum: bool,
}

/// Compares what journals of one cluster hold: which of them holds most.
///
/// # Errors
/// They belong to different clusters, to histories of which none was founded on the other, or contradict each
/// other.
pub fn compare(all: &[JournalHoldings]) -> Result<Comparison, OperationError> {
    judge(all).map_err(OperationError::Integrity)
}

/// Judges journals of one cluster. The greatest (epoch, end) holds most (S5), of the latest history.
fn judge(all: &[JournalHoldings]) -> Result<Comparison, String> {
    let Some(longest) = (0..all.len()).filter(|at| !all[*at].is_blank()).max_by_key(|at| {
        let holdings = &all[*at];
        (holdings.epoch, holdings.next, holdings.complete, std::cmp::Reverse(*at))
    }) else {
        return Err("none of these journals holds anything: `format` and `bootstrap` begin a history".into());
    };
    let most = &all[longest];
    for holdings in all.iter().filter(|holdings| !holdings.is_blank()) {
        check_pair(holdings, most)?;
    }
    let members: BTreeSet<&str> = most.members.iter().map(String::as_str).collect();
    let complete: BTreeSet<&str> = all
        .iter()
        .filter(|holdings| {
            holdings.complete
                && holdings.history == most.history
                && members.contains(holdings.identity.as_str())
        })
        .map(|holdings| holdings.identity.as_str())
        .collect();
    let has_quorum = complete.len() >= most.quorum();
    let mut remarks = vec![format!(
        "{} holds most: up to seq {} ({} of history {:016x})",
        most.journal,
        most.next - 1,
        most.identity,
        most.history
    )];
    if has_quorum {
        let names: Vec<_> = complete.iter().copied().collect();
        remarks.push(format!(
            "{} of {} members are complete ({}): start them; no history needs to be founded",
            complete.len(),
            members.len(),
            names.join(", ")
        ));
    } else {
        remarks.push(format!(
            "{} of {} members are complete, a quorum is {}",
            complete.len(),
            members.len(),
            most.quorum()
        ));
        remarks.extend(loss(all, most));
        remarks.extend(absent(all, &members));
    }
    remarks.extend(all.iter().filter(|holdings| holdings.is_absent()).map(|holdings| {
        format!(
            "{}: that host had no journal there. If its disk is not mounted, mount it, look again, and compare again",
            holdings.journal
        )
    }));
    Ok(Comparison { longest, remarks, has_quorum })
}

/// Whether `holdings` and the longest journal are of one cluster and one line of histories, and do not
/// contradict each other.
fn check_pair(holdings: &JournalHoldings, most: &JournalHoldings) -> Result<(), String> {
    let name = &holdings.journal;
    if holdings.cluster != most.cluster {
        return Err(format!(
            "{name} is of cluster {:#x}, {} of cluster {:#x}: compare the journals of one cluster",
            holdings.cluster, most.journal, most.cluster
        ));
    }
    let is_ancestor = most.ancestors.iter().any(|ancestors| ancestors.history == holdings.history);
    if holdings.history != most.history && !is_ancestor {
        return Err(format!(
            "{name} is of history {:016x}, {} of {:016x}, and neither was founded on the other: decide \
             which stream continues, and compare its journals only",
            holdings.history, most.journal, most.history
        ));
    }
    if (holdings.epoch, holdings.next) == (most.epoch, most.next) && holdings.chain != most.chain {
        return Err(format!(
            "{name} and {} end at seq {} of one epoch with different chains ({:016x}, {:016x}): one of them is damaged; \
             read both with `format --verify`",
            most.journal,
            most.next - 1,
            holdings.chain,
            most.chain
        ));
    }
    Ok(())
}

/// What a history that is founded on the longest journal will lack.
fn loss(all: &[JournalHoldings], most: &JournalHoldings) -> Option<String> {
    let of_this = || all.iter().filter(|holdings| holdings.history == most.history);
    let committed = of_this().map(|holdings| holdings.commit_next).max().unwrap_or(1);
    let reached = of_this().map(|holdings| holdings.high_next).max().unwrap_or(1);
    if committed > most.next {
        Some(format!(
            "seqs {} to {} were committed and are in none of these journals' longest log: they will be lost",
            most.next,
            committed - 1
        ))
    } else if reached > most.next {
        Some(format!(
            "seqs {} to {} were stored somewhere and may have been committed: they will be lost",
            most.next,
            reached - 1
        ))
    } else {
        None
    }
}

/// Members of which no journal was compared.
fn absent(all: &[JournalHoldings], members: &BTreeSet<&str>) -> Option<String> {
    let is_absent = |member: &&str| all.iter().all(|holdings| holdings.identity != *member);
    let absent: Vec<&str> = members.iter().copied().filter(is_absent).collect();
    (!absent.is_empty())
        .then(|| format!("not compared: {}; a journal of theirs may hold more", absent.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::journal_report::{AncestorRow, SCHEMA};

    fn holdings(identity: &str, epoch: u64, next: u64) -> JournalHoldings {
        JournalHoldings {
            schema: SCHEMA.into(),
            journal: format!("/j/{identity}"),
            cluster: 7,
            identity: identity.into(),
            history: 0xb1,
            ancestors: Vec::new(),
            epoch,
            oldest_seq: 1,
            next,
            chain: epoch * 1_000 + next,
            commit_next: next,
            high_next: next,
            durability: Some("process".into()),
            members: ["1:0000001", "2:0000002", "3:0000003"].map(String::from).to_vec(),
            complete: false,
            why: Some("the tail is gone".into()),
            damage: Vec::new(),
            torn: None,
        }
    }

    #[test]
    fn the_greatest_epoch_and_end_hold_most() {
        let all =
            [holdings("1:0000001", 4, 90), holdings("2:0000002", 5, 80), holdings("101:0000009", 5, 85)];
        let comparison = judge(&all).expect("a verdict");
        assert_eq!((comparison.longest, comparison.has_quorum), (2, false));
        let remarks = comparison.remarks.join("\n");
        for text in [
            "/j/101:0000009 holds most: up to seq 84",
            "0 of 3 members are complete",
            "not compared: 3:0000003",
        ] {
            assert!(remarks.contains(text), "{text}: {remarks}");
        }
        // 90 of the former epoch was committed: that is a loss that can be named.
        assert!(remarks.contains("seqs 85 to 89 were committed"), "{remarks}");
    }

    #[test]
    fn only_the_journal_of_the_only_member_says_that_nothing_is_missing() {
        let members = vec!["1:0000001".to_owned()];
        let whole = |identity| JournalHoldings {
            complete: true,
            why: None,
            members: members.clone(),
            ..holdings(identity, 4, 90)
        };
        assert_eq!(whole("1:0000001").missing(), "nothing");
        let remarks = whole("101:0000009").missing();
        assert!(remarks.starts_with("what others hold above seq 89"), "{remarks}");
    }

    #[test]
    fn a_host_without_a_journal_is_compared_and_named() {
        let absent = JournalHoldings::absent(7, std::path::Path::new("/j/2"));
        let all = [holdings("1:0000001", 4, 90), absent.clone()];
        let comparison = judge(&all).expect("a verdict");
        let remarks = comparison.remarks.join("\n");
        assert_eq!(comparison.longest, 0);
        assert!(
            remarks.contains("/j/2: that host had no journal there") && remarks.contains("mount it"),
            "{remarks}"
        );
        assert!(judge(&[absent]).is_err());
    }

    #[test]
    fn a_quorum_of_complete_journals_needs_no_founding() {
        let whole = |identity| JournalHoldings { complete: true, why: None, ..holdings(identity, 4, 90) };
        let all =
            [whole("1:0000001"), holdings("2:0000002", 4, 90), whole("3:0000003"), whole("101:0000009")];
        let comparison = judge(&all).expect("a verdict");
        assert!(comparison.has_quorum && comparison.remarks[1].contains("start them"), "{comparison:?}");
        // An archiver's completeness is no vote.
        assert!(!judge(&all[1..2]).expect("a verdict").has_quorum);
        let one = [whole("1:0000001"), whole("101:0000009")];
        assert!(!judge(&one).expect("a verdict").has_quorum);
    }

    #[test]
    fn a_later_history_goes_before_the_one_that_it_was_founded_on() {
        let later = JournalHoldings {
            history: 0xb2,
            ancestors: vec![AncestorRow { history: 0xb1, next: 60, chain: 0 }],
            ..holdings("2:0000005", 4_100, 61)
        };
        let all = [holdings("1:0000001", 4, 90), later.clone()];
        assert_eq!(judge(&all).expect("a verdict").longest, 1);
        let outsider = JournalHoldings { history: 0xb3, ancestors: Vec::new(), ..later };
        let error = judge(&[all[0].clone(), outsider]).expect_err("two streams");
        assert!(error.contains("neither was founded on the other"), "{error}");
    }

    #[test]
    fn journals_that_contradict_each_other_are_named() {
        let other = JournalHoldings { chain: 1, ..holdings("2:0000002", 4, 90) };
        let error = judge(&[holdings("1:0000001", 4, 90), other.clone()]).expect_err("one is damaged");
        assert!(error.contains("format --verify"), "{error}");
        let foreign = JournalHoldings { cluster: 8, ..other };
        assert!(
            judge(&[holdings("1:0000001", 4, 90), foreign]).is_err_and(|error| error.contains("cluster 0x"))
        );
        assert!(judge(&[holdings("1:0000001", 0, 1)]).is_err_and(|error| error.contains("bootstrap")));
    }
}
