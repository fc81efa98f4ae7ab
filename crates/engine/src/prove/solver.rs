//! cvc5, as a process for each question: it starts in 3 ms, is faster than one that is reset, and nothing that goes wrong
//! with one question reaches the next.

use super::ProveError;
use policy::prove::{Oracle, Reply};
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// How long cvc5 may think about one question. Proofs of the shipped rules take some milliseconds.
const THINKS_MS_MAX: u64 = 5_000;
/// How long it may take to say so.
const ANSWERS_MAX: Duration = Duration::from_millis(THINKS_MS_MAX + 2_000);

/// The solver.
#[derive(Debug)]
pub struct Cvc5(());

impl Cvc5 {
    /// Makes sure that it is there and can do what proofs need.
    ///
    /// # Errors
    /// When it is not installed, does not start, or cannot.
    pub fn new() -> Result<Cvc5, ProveError> {
        // The theories that questions need: strings with patterns, sets, bit vectors, datatypes.
        let script = "(set-logic ALL)\n(declare-datatype D ((d (d_name String))))\n(declare-const x D)\n\
                      (declare-const s (Set D))\n(declare-const n (_ BitVec 64))\n(assert (bvslt n (_ bv1 64)))\n\
                      (assert (set.member x s))\n\
                      (assert (str.in_re (d_name x) (re.++ (str.to_re \"/\") (re.* re.allchar))))\n\
                      (assert (not (str.in_re (d_name x) (re.++ re.allchar (re.* re.allchar)))))\n";
        match answer(script) {
            Ok(Reply::Unsat) => Ok(Cvc5(())),
            Ok(Reply::Sat(_)) => Err(ProveError::Useless("it says of what cannot be that it can".to_owned())),
            Ok(Reply::Unknown(why)) => Err(ProveError::Useless(why)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ProveError::NoSolver),
            Err(error) => Err(ProveError::Start(error)),
        }
    }
}

impl Oracle for Cvc5 {
    fn ask(&mut self, script: &str) -> Reply {
        answer(script).unwrap_or_else(|error| Reply::Unknown(format!("cvc5: {error}")))
    }
}

fn answer(script: &str) -> io::Result<Reply> {
    let said = said(&format!("{script}(check-sat)\n(get-model)\n"))?;
    let (first, rest) = said.split_once('\n').unwrap_or((&said, ""));
    // A model is one list, alone; whatever else is said is no answer. Without a contradiction there is none, said as an error.
    Ok(match first {
        "unsat" => Reply::Unsat,
        "sat" if rest.starts_with("(\n") && rest.ends_with("\n)\n") => Reply::Sat(rest.to_owned()),
        "sat" if !script.contains(":produce-models") => Reply::Sat(String::new()),
        "unknown" => Reply::Unknown("cvc5 does not know".to_owned()),
        _ if first.contains("timeout") => Reply::Unknown(format!("cvc5 found nothing in {} s", THINKS_MS_MAX / 1_000)),
        other => Reply::Unknown(format!("cvc5 says: {}", model::escape::text(other))),
    })
}

/// What cvc5 says to a script.
fn said(script: &str) -> io::Result<String> {
    let mut cvc5 = Ended(
        Command::new("cvc5")
            .args(["--lang=smt2", "--strings-exp", "--quiet"])
            .arg(format!("--tlimit={THINKS_MS_MAX}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let (Some(mut input), Some(mut output)) = (cvc5.0.stdin.take(), cvc5.0.stdout.take()) else {
        return Err(io::Error::other("it has no input or no output"));
    };
    let (send, answer) = channel();
    // Ends with the output, which ends with the process, which ends with this function.
    thread::spawn(move || {
        let mut said = String::new();
        let read = output.read_to_string(&mut said).map(|_| said);
        // Nobody listens any more where the time is over.
        drop(send.send(read));
    });
    // It reads all of a script before it says much; where it ended early, what it said tells more than that.
    let written = input.write_all(script.as_bytes());
    drop(input);
    let said = answer.recv_timeout(ANSWERS_MAX).map_err(|_| io::Error::other("it does not answer"))??;
    if said.is_empty() {
        written?;
        return Err(io::Error::other("it said nothing"));
    }
    Ok(said)
}

/// Ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It holds nothing worth an orderly end. Both fail only where it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::{Cvc5, Reply, answer};
    use policy::prove::Oracle;

    #[test]
    fn what_is_no_answer_is_none() {
        let mut solver = Cvc5::new().unwrap();
        for (script, expected) in [
            ("(assert false)\n", "unsat"),
            ("(assert true)\n", "sat"),
            ("(assert (str.in_re \"a\" nonsense))\n", "unknown"),
            ("(set-option :produce-models true)\n(declare-const x Bool)\n(assert x)\n", "sat"),
            ("(check-sat", "unknown"),
            ("(exit)\n", "unknown"),
            // A hard multiplication: the limit of one question holds.
            (
                "(declare-const a (_ BitVec 512))\n(declare-const b (_ BitVec 512))\n(assert (= (bvmul a b) \
                 (bvsub (bvshl (_ bv1 512) (_ bv500 512)) (_ bv1 512))))\n(assert (bvugt a (_ bv1 512)))\n\
                 (assert (bvult a (bvshl (_ bv1 512) (_ bv250 512))))\n(assert (bvult b (bvshl (_ bv1 512) (_ bv251 512))))\n\
                 (assert (bvugt b (_ bv1 512)))\n",
                "unknown",
            ),
        ] {
            let script = if script.starts_with("(set-option") {
                script.replacen(")\n", ")\n(set-logic ALL)\n", 1)
            } else {
                format!("(set-logic ALL)\n{script}")
            };
            let said = match solver.ask(&script) {
                Reply::Unsat => "unsat",
                Reply::Sat(_) => "sat",
                Reply::Unknown(_) => "unknown",
            };
            assert_eq!(said, expected, "{script}: {:?}", answer(&script));
        }
    }
}
