//! From the table to classic BPF: one program, a binary search over the call number, then the checks of that call.
//!
//! The search matters at start-up as much as later: when a filter is installed, the kernel runs it once for every call
//! number to learn which are always allowed (and then skips the filter for them).

use super::table::{Check, LAST_KNOWN, Rule, Test, Verdict};
use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_DATA, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_USER_NOTIF,
    sock_filter,
};

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data` of seccomp(2).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Up to this many rules are compared one after the other.
const LEAF_RULES_MAX: usize = 4;

pub(super) fn compile(rules: &[Rule]) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCHITECTURE),
        jump(BPF_JEQ, NATIVE, 1, 0),
        give(SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
        jump(BPF_JGT, LAST_KNOWN, 0, 1),
        give(verdict(Verdict::Fail(libc::ENOSYS))),
    ];
    program.extend(search(rules));
    program
}

fn search(rules: &[Rule]) -> Vec<sock_filter> {
    let (left, right) = rules.split_at(rules.len() / 2);
    let Some(first) = right.first().filter(|_| rules.len() > LEAF_RULES_MAX) else {
        return leaf(rules);
    };
    let (pivot, left, right) = (first.call, search(left), search(right));
    // A conditional jump reaches 255 instructions, an unconditional one all.
    let over = u32::try_from(left.len()).unwrap_or(u32::MAX);
    [vec![jump(BPF_JGE, pivot, 0, 1), go(over)], left, right].concat()
}

fn leaf(rules: &[Rule]) -> Vec<sock_filter> {
    let mut code = Vec::new();
    for rule in rules {
        let body = body(&rule.checks);
        code.push(jump(BPF_JEQ, rule.call, 0, short(body.len())));
        code.extend(body);
    }
    code.push(give(SECCOMP_RET_ALLOW));
    code
}

fn body(checks: &[Check]) -> Vec<sock_filter> {
    let mut code: Vec<sock_filter> = checks.iter().flat_map(one_check).collect();
    if checks.iter().all(|check| !check.tests.is_empty()) {
        code.push(give(SECCOMP_RET_ALLOW));
    }
    code
}

/// The tests in order, each of which leaves for the end of the check when it fails, then the verdict.
fn one_check(check: &Check) -> Vec<sock_filter> {
    let mut code = vec![give(verdict(check.verdict))];
    for test in check.tests.iter().rev() {
        let mut whole = one_test(*test, short(code.len()));
        whole.extend(code);
        code = whole;
    }
    code
}

/// Falls through when the test holds, else jumps over `rest` instructions.
fn one_test(test: Test, rest: u8) -> Vec<sock_filter> {
    match test {
        Test::Bits { arg, mask } => vec![load(low(arg)), jump(BPF_JSET, mask, 0, rest)],
        Test::Is { arg, value } => vec![load(low(arg)), jump(BPF_JEQ, value, 0, rest)],
        Test::IsNot { arg, value } => vec![load(low(arg)), jump(BPF_JEQ, value, rest, 0)],
        Test::Masked { arg, mask, value } => {
            vec![load(low(arg)), instruction(BPF_ALU | BPF_AND | BPF_K, mask, 0, 0), jump(BPF_JEQ, value, 0, rest)]
        }
        Test::Given { arg } => {
            vec![load(low(arg)), jump(BPF_JEQ, 0, 0, 2), load(low(arg) + 4), jump(BPF_JEQ, 0, rest, 0)]
        }
    }
}

/// The low half of an argument; both architectures are little-endian.
fn low(arg: u8) -> u32 {
    ARGUMENTS + 8 * u32::from(arg)
}

fn verdict(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Fail(errno) => SECCOMP_RET_ERRNO | (errno.cast_unsigned() & SECCOMP_RET_DATA),
        Verdict::Watch | Verdict::Tell(_) => SECCOMP_RET_USER_NOTIF,
        Verdict::Allow => SECCOMP_RET_ALLOW,
    }
}

/// A jump distance. A check too long for one would be caught by the test that runs the whole table.
fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn jump(condition: u32, value: u32, then: u8, otherwise: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_K | condition, value, then, otherwise)
}

fn go(over: u32) -> sock_filter {
    instruction(BPF_JMP | BPF_JA, over, 0, 0)
}

fn give(action: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, action, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or(u16::MAX), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    /// What the kernel would do: a small interpreter of the instructions used here.
    fn run(program: &[sock_filter], arch: u32, call: u32, args: [u64; 6]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER => call,
            ARCHITECTURE => arch,
            at => {
                let (index, high) = ((at - ARGUMENTS) / 8, (at - ARGUMENTS) % 8 == 4);
                let value = args[index as usize];
                (if high { value >> 32 } else { value }) as u32
            }
        };
        let (mut pc, mut a) = (0usize, 0u32);
        loop {
            let i = program[pc];
            pc += 1;
            let take = |condition: bool| usize::from(if condition { i.jt } else { i.jf });
            match u32::from(i.code) {
                c if c == BPF_LD | BPF_W | BPF_ABS => a = word(i.k),
                c if c == BPF_JMP | BPF_K | BPF_JEQ => pc += take(a == i.k),
                c if c == BPF_JMP | BPF_K | BPF_JGE => pc += take(a >= i.k),
                c if c == BPF_JMP | BPF_K | BPF_JGT => pc += take(a > i.k),
                c if c == BPF_JMP | BPF_K | BPF_JSET => pc += take(a & i.k != 0),
                c if c == BPF_ALU | BPF_AND | BPF_K => a &= i.k,
                c if c == BPF_JMP | BPF_JA => pc += i.k as usize,
                c if c == BPF_RET | BPF_K => return i.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    /// What the table says, read directly.
    fn expected(rules: &[Rule], call: u32, args: [u64; 6]) -> u32 {
        if call > LAST_KNOWN {
            return verdict(Verdict::Fail(libc::ENOSYS));
        }
        let holds = |test: &Test| match *test {
            Test::Bits { arg, mask } => args[arg as usize] as u32 & mask != 0,
            Test::Is { arg, value } => args[arg as usize] as u32 == value,
            Test::IsNot { arg, value } => args[arg as usize] as u32 != value,
            Test::Given { arg } => args[arg as usize] != 0,
            Test::Masked { arg, mask, value } => args[arg as usize] as u32 & mask == value,
        };
        let checks = rules.iter().filter(|rule| rule.call == call).flat_map(|rule| &rule.checks);
        checks
            .filter(|check| check.tests.iter().all(holds))
            .map(|check| verdict(check.verdict))
            .next()
            .unwrap_or(SECCOMP_RET_ALLOW)
    }

    #[test]
    fn the_program_does_what_the_table_says_for_every_call() {
        let words = [
            0u64,
            1,
            2,
            10,
            16,
            40,
            0o644,
            0o4755,
            0o2755,
            0o100,
            0o101,
            0x541c,
            0x5412,
            0x1_0000_5412,
            0x1000_0000,
            0x80,
            0x8,
            0xffff_ffff,
            u64::MAX,
            1 << 40,
            u64::from(libc::CLONE_NEWUSER.cast_unsigned()),
            u64::from(libc::CLONE_NEWCGROUP.cast_unsigned()),
            0x2000,
            5,
            0x80801,
            0x4008_6602,
            0x8008_6601,
            0x4004_9409,
            0x5000_940e,
        ];
        let cases = words.iter().flat_map(|a| words.iter().map(move |b| [*a, *b, *a, *b, *a, *b]));
        let cases: Vec<[u64; 6]> = cases.chain(words.iter().map(|w| [10, *w, 0o101, *w, 0, 0])).collect();
        let plain = [(false, false), (true, false), (false, true), (true, true)].map(|(w, n)| table::rules(w, n));
        let observing = [false, true].map(super::super::observing);
        for rules in plain.into_iter().chain(observing).chain([table::guarded_rules()]) {
            let program = compile(&rules);
            for call in (0..=LAST_KNOWN + 1).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
                for args in &cases {
                    let got = run(&program, NATIVE, call, *args);
                    assert_eq!(got, expected(&rules, call, *args), "call {call} {args:x?}");
                }
            }
        }
    }

    #[test]
    fn a_foreign_architecture_ends_the_process() {
        const I386: u32 = 0x4000_0003;
        assert_eq!(run(&compile(&table::rules(true, false)), I386, 1, [0; 6]), SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn an_unlisted_call_is_allowed_after_few_steps() {
        let [program, guarded] = [table::rules(true, true), table::guarded_rules()].map(|rules| compile(&rules));
        assert!(guarded.len() < 600, "{} instructions", guarded.len());
        assert!(program.len() < 400, "{} instructions", program.len());
    }
}
