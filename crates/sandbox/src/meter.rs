//! Limits that no call to the kernel sets for a whole jar without a cgroup, which `cgroup` makes where it can: Belljar
//! looks at the jar's processes from outside and ends them all when together they took too much. What happens between two looks is seen at the next, so
//! memory can be exceeded by what is taken in [`LOOK`]; memory of files without a name (memfd_create(2)) that nobody
//! has mapped is not seen at all, and what several processes share is counted once, for the one that has most of it.

use crate::bare::tree;
use crate::cgroup::Groups;
use model::{Layer, LayerState, Limit, Limits, Usage, Used};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::PollTimeout;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike as _};
use std::collections::HashMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Time between two looks, where they cost little.
const LOOK: Duration = Duration::from_millis(25);
/// Looking may take this part of one processor.
const COST_PART: u32 = 20;
/// proc_pid_stat(5) and proc_pid_status(5) are much shorter.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// Kernels have counted processor time in these for user space for decades: `sysconf(_SC_CLK_TCK)`.
const TICKS_PER_S: u64 = 100;

/// Where the processes of a jar are found.
pub(crate) enum Processes {
    /// In a proc(5) of its own, by its root.
    Namespace(OwnedFd),
    /// In the host's, below the first of them.
    Below(OwnedFd, i32),
}

/// Watches over one jar.
pub(crate) struct Meter {
    limits: Limits,
    /// Whether too many processes end it; else the kernel refuses them.
    counted: bool,
    /// The jar's processes, where anything must be looked at.
    processes: Option<Processes>,
    /// What the kernel keeps by itself.
    groups: Groups,
    end: Option<Instant>,
    next: Instant,
    spent: Spent,
    /// What had been spent when the command began, in ticks.
    before: u64,
    met: Option<Limit>,
    /// The most it was seen to have, where that is asked for.
    peak: Option<Taken>,
    /// It was told that the command took too much; there is nothing more to tell.
    told: bool,
}

fn end_of(limits: &Limits, now: Instant) -> Option<Instant> {
    limits.wall_s.and_then(|seconds| now.checked_add(Duration::from_secs(seconds)))
}

impl Meter {
    /// Begins now; `measure` asks for [`Meter::used`].
    pub(crate) fn new(
        limits: Limits,
        counted: bool,
        processes: Option<Processes>,
        groups: Groups,
        measure: bool,
    ) -> Meter {
        let now = Instant::now();
        let of_memory = limits.memory.is_some() && !groups.memory;
        let of_cpu = limits.cpu_s.is_some() && !groups.cpu;
        let looks =
            counted || measure || of_memory || of_cpu || limits.processes.is_some() && groups.processes.is_none();
        let end = end_of(&limits, now);
        let processes = processes.filter(|_| looks);
        Meter {
            limits,
            counted,
            processes,
            groups,
            end,
            next: now + LOOK,
            spent: Spent::default(),
            before: 0,
            met: None,
            peak: measure.then(Taken::default),
            told: false,
        }
    }

    /// Another command begins in the jar, which may print so much: time, processor time and what was met count from now on.
    pub(crate) fn anew(&mut self, output: Option<u64>) {
        let now = Instant::now();
        self.limits.output = output;
        (self.end, self.next) = (end_of(&self.limits, now), now + LOOK);
        (self.met, self.told) = (None, false);
        self.spent = Spent::default();
        self.groups.anew();
        let processes = self.processes.as_ref().filter(|_| self.limits.cpu_s.is_some());
        // A jar that cannot be looked at is ending, and says so itself.
        let taken = processes.and_then(|processes| look(processes, &mut Spent::default()).ok());
        self.before = self.corrected(taken.unwrap_or_default()).ticks;
    }

    /// How long nothing needs to be looked at.
    pub(crate) fn patience(&self) -> PollTimeout {
        if self.told {
            return PollTimeout::NONE;
        }
        let looks = self.processes.is_some() || self.groups.cpu || self.groups.memory || self.limits.output.is_some();
        let next = looks.then_some(self.next);
        let Some(at) = next.into_iter().chain(self.end).min() else {
            return PollTimeout::NONE;
        };
        // Rounded up, so that nobody wakes before the time; a day is as good as for ever.
        let left = at.saturating_duration_since(Instant::now()).as_millis().saturating_add(1);
        PollTimeout::try_from(i32::try_from(left).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::NONE)
    }

    /// Looks, if it is time to. True when the jar has taken too much, or printed too much; once for a command.
    pub(crate) fn look(&mut self, printed: bool) -> bool {
        if !self.told {
            self.told = self.is_too_much(printed);
            return self.told;
        }
        false
    }

    fn is_too_much(&mut self, printed: bool) -> bool {
        let now = Instant::now();
        if printed {
            self.met = Some(Limit::Output);
            return true;
        }
        if self.end.is_some_and(|end| now >= end) {
            self.met = Some(Limit::Wall);
            return true;
        }
        if now < self.next {
            return false;
        }
        self.next = now + LOOK;
        // A jar that is ending has no processes to look at, and says so itself.
        let seen = self.processes.as_ref().and_then(|processes| look(processes, &mut self.spent).ok());
        let taken = self.corrected(seen.unwrap_or_default());
        self.next = Instant::now() + LOOK.max(now.elapsed() * COST_PART);
        if self.groups.out_of_memory() {
            // As a rule all of the jar is dead by now.
            self.met = Some(Limit::Memory);
            return true;
        }
        self.judge(&taken)
    }

    /// What the kernel counts is no guess, and what it keeps needs no judging.
    fn corrected(&self, taken: Taken) -> Taken {
        const US_PER_TICK: u64 = 1_000_000 / TICKS_PER_S;
        Taken {
            memory: if self.groups.memory { 0 } else { taken.memory },
            threads: if self.groups.processes.is_some() { 0 } else { taken.threads },
            ticks: self.groups.cpu_us().map_or(taken.ticks, |us| us / US_PER_TICK),
        }
    }

    /// How memory and processor time are kept, where they are limited; a process limit is told by who set it.
    pub(crate) fn states(&self) -> Vec<LayerState> {
        const LOOKED_AT: &str = "looked at from outside, some forty times a second";
        let memory = self.limits.memory.map(|max| {
            let how = if self.groups.memory { "by cgroup v2" } else { LOOKED_AT };
            LayerState { layer: Layer::MemoryLimit, detail: format!("{max} bytes, {how}") }
        });
        let cpu = self.limits.cpu_s.map(|max| {
            let how = if self.groups.cpu { "counted by cgroup v2" } else { "added up by process" };
            LayerState { layer: Layer::CpuLimit, detail: format!("{max} s, {how}, {LOOKED_AT}") }
        });
        memory.into_iter().chain(cpu).collect()
    }

    /// Whether the kernel ended the jar for its memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        self.groups.out_of_memory()
    }

    /// Whether what its first process takes on its way out counts, or the place where it is counted goes with it.
    pub(crate) fn counts_all(&self) -> bool {
        self.peak.is_some() || self.limits.on_processes()
    }

    /// What the jar took, where the kernel counted it.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.groups.usage()
    }

    fn judge(&mut self, taken: &Taken) -> bool {
        if let Some(peak) = &mut self.peak {
            peak.memory = peak.memory.max(taken.memory);
            peak.threads = peak.threads.max(taken.threads);
            peak.ticks = peak.ticks.max(taken.ticks);
        }
        let most = self.limits.processes.unwrap_or(Limits::PROCESSES);
        let over = |limit: Option<u64>, taken: u64| limit.is_some_and(|limit| taken > limit);
        if over(self.limits.memory, taken.memory) {
            self.met = Some(Limit::Memory);
        } else if over(
            self.limits.cpu_s.map(|seconds| seconds.saturating_mul(TICKS_PER_S)),
            taken.ticks.saturating_sub(self.before),
        ) {
            self.met = Some(Limit::Cpu);
        } else if taken.threads >= most {
            self.met = Some(Limit::Processes);
            // The kernel refuses more by itself, and the command may well go on.
            return self.counted;
        } else {
            return false;
        }
        true
    }

    /// What the jar took, once all of it has ended. The kernel tells the processor time of whoever was waited for, and the
    /// memory of the largest process, of which a short command is seen no other way.
    pub(crate) fn used(&self) -> Option<Used> {
        let peak = self.peak?;
        let ended = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        let time = ended.map_or(0, |usage| {
            let ms = |time: TimeVal| u64::try_from(time.num_milliseconds()).unwrap_or(0);
            ms(usage.user_time()).saturating_add(ms(usage.system_time()))
        });
        let largest = ended.and_then(|usage| u64::try_from(usage.max_rss()).ok()).unwrap_or(0).saturating_mul(1024);
        Some(Used {
            memory: peak.memory.max(largest),
            processes: peak.threads.max(1),
            cpu_ms: time.max(peak.ticks.saturating_mul(1000 / TICKS_PER_S)),
        })
    }

    /// The limit that was met, if one was.
    pub(crate) fn met(&self) -> Option<Limit> {
        self.met.or_else(|| self.groups.met())
    }
}

/// What a jar has at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    /// Bytes.
    memory: u64,
    /// Threads of the command's processes.
    threads: u64,
    /// Processor time since the jar began.
    ticks: u64,
}

/// Processor time by process, so that of one that is gone is not forgotten.
#[derive(Default)]
struct Spent {
    /// By number and start time: own time, at the last look.
    own: HashMap<(u32, u64), u64>,
    /// Of those that are gone.
    gone: u64,
}

impl Spent {
    /// The processor time of all that ever lived, as far as it was seen.
    fn note(&mut self, now: HashMap<(u32, u64), u64>) -> u64 {
        let gone = self.own.iter().filter(|(process, _)| !now.contains_key(process)).map(|(_, ticks)| ticks);
        self.gone = self.gone.saturating_add(gone.sum());
        self.own = now;
        self.own.values().fold(self.gone, |sum, ticks| sum.saturating_add(*ticks))
    }
}

/// Threads of the command's processes in a jar, by the root of its proc(5).
pub(crate) fn threads_in(root: &OwnedFd) -> Result<u64, Errno> {
    let threads = |process: u32| files(root, process).and_then(|(stat, _)| Some(Times::parse(&stat)?.threads));
    Ok(numbers(root)?.into_iter().filter(|process| *process != 1).filter_map(threads).sum())
}

fn look(processes: &Processes, spent: &mut Spent) -> Result<Taken, Errno> {
    let (processes, all, own_first) = match processes {
        Processes::Namespace(root) => (root, numbers(root)?, true),
        Processes::Below(root, first) => {
            (root, tree::below(*first).into_iter().map(i32::cast_unsigned).collect(), false)
        }
    };
    let mut taken = Taken::default();
    let (mut own, mut with_children, mut shared) = (HashMap::new(), 0u64, 0u64);
    for process in all {
        // Whoever is gone by now takes nothing.
        let Some((stat, status)) = files(processes, process) else { continue };
        let Some(times) = Times::parse(&stat) else { continue };
        own.insert((process, times.start), times.own);
        with_children = with_children.saturating_add(times.own).saturating_add(times.children);
        if own_first && process == 1 {
            // Belljar's own, which the command cannot make grow.
            continue;
        }
        taken.threads += times.threads;
        let kib = |name: &str| value(&status, name).unwrap_or(0).saturating_mul(1024);
        taken.memory = taken.memory.saturating_add(kib("RssAnon:")).saturating_add(kib("VmSwap:"));
        shared = shared.max(kib("RssShmem:"));
    }
    taken.memory = taken.memory.saturating_add(shared);
    // Children that were waited for are in their parents' sums; others are only known because they were seen.
    taken.ticks = with_children.max(spent.note(own));
    Ok(taken)
}

fn numbers(processes: &OwnedFd) -> Result<Vec<u32>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir = nix::dir::Dir::openat(processes, ".", flags, Mode::empty())?;
    let names = dir.iter().filter_map(Result::ok).filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok());
    Ok(names.collect())
}

fn files(processes: &OwnedFd, process: u32) -> Option<(String, String)> {
    let read = |name: &str| {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(processes, format!("{process}/{name}").as_str(), flags, Mode::empty()).ok()?;
        let mut bytes = Vec::new();
        std::fs::File::from(file).take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    Some((read("stat")?, read("status")?))
}

/// Fields of proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
struct Times {
    own: u64,
    children: u64,
    threads: u64,
    start: u64,
}

impl Times {
    /// The name in brackets is the process's own to choose: what counts begins after the last bracket.
    fn parse(stat: &str) -> Option<Times> {
        let fields: Vec<u64> =
            stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
        let sum = |a: usize, b: usize| Some(field(a)?.saturating_add(field(b)?));
        Some(Times { own: sum(14, 15)?, children: sum(16, 17)?, threads: field(20)?, start: field(22)? })
    }
}

/// The number behind a name at the beginning of a line of proc_pid_status(5). A process's own name stands in the first
/// line, where a line feed is escaped.
fn value(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read_whatever_the_process_calls_itself() {
        let stat = "7 (a) 1 2 3) R 1 7 7 0 -1 4194304 1 2 3 4 11 12 13 14 20 0 5 0 900 1 2";
        assert_eq!(Times::parse(stat), Some(Times { own: 23, children: 27, threads: 5, start: 900 }));
        assert_eq!((Times::parse(""), Times::parse("7 (a) R 1")), (None, None));
        let status = "Name:\tRssAnon: 9\nVmRSS:\t  12 kB\nRssAnon:\t     34 kB\n";
        assert_eq!((value(status, "RssAnon:"), value(status, "VmSwap:")), (Some(34), None));
    }

    #[test]
    fn a_live_process_is_seen() {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let proc = nix::fcntl::open("/proc", flags, Mode::empty()).unwrap();
        let taken = look(&Processes::Namespace(proc), &mut Spent::default()).unwrap();
        assert!(taken.memory > 1 << 20 && taken.threads >= 1 && taken.ticks > 0, "{taken:?}");
    }

    #[test]
    fn time_of_the_dead_counts() {
        let mut spent = Spent::default();
        assert_eq!(spent.note([((2, 1), 10), ((3, 1), 5)].into()), 15);
        assert_eq!(spent.note([((3, 1), 6)].into()), 16);
        // The number was given again.
        assert_eq!(spent.note([((3, 9), 1)].into()), 17);
    }

    #[test]
    fn what_is_met_ends_the_jar_and_processes_only_where_they_are_counted() {
        let limits = Limits { memory: Some(100), processes: Some(4), cpu_s: Some(1), ..Limits::default() };
        let judged = |counted: bool, taken: Taken| {
            let mut meter = Meter::new(limits, counted, None, Groups::default(), false);
            (meter.judge(&taken), meter.met())
        };
        let calm = Taken { memory: 100, threads: 3, ticks: 100 };
        assert_eq!(judged(true, calm), (false, None));
        assert_eq!(judged(false, Taken { memory: 101, ..calm }), (true, Some(Limit::Memory)));
        assert_eq!(judged(false, Taken { ticks: 101, ..calm }), (true, Some(Limit::Cpu)));
        assert_eq!(judged(false, Taken { threads: 4, ..calm }), (false, Some(Limit::Processes)));
        assert_eq!(judged(true, Taken { threads: 4, ..calm }), (true, Some(Limit::Processes)));
    }
}
