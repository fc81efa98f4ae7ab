//! Limits of a jar, and which of them a command met.

use serde::{Deserialize, Serialize};

/// What a jar may take. `None` is no limit, where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Allocated bytes its layers may hold, over all its writable roots together; `None` for no limit but the reserve
    /// of the host's disk.
    pub disk: Option<u64>,
    /// Files, directories, links and whatever else has a name that its layers may hold.
    pub files: Option<u64>,
    /// Bytes of memory of all its processes together, and as many again in its private directories.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Processes and threads at the same time; `None` for [`Limits::PROCESSES`].
    #[serde(default)]
    pub processes: Option<u64>,
    /// Seconds of processor time of all its processes together.
    #[serde(default)]
    pub cpu_s: Option<u64>,
    /// Seconds that pass on a clock.
    #[serde(default)]
    pub wall_s: Option<u64>,
    /// Bytes that the command prints on its standard output and error together.
    #[serde(default)]
    pub output: Option<u64>,
    /// Open files of each process.
    #[serde(default)]
    pub open_files: Option<u64>,
}

impl Limits {
    /// How many processes a jar may have where nobody said: far above what builds and browsers use, far below what a
    /// fork bomb needs.
    pub const PROCESSES: u64 = 8192;

    /// Whether something is limited that all processes of a jar take together.
    #[must_use]
    pub fn on_processes(&self) -> bool {
        self.memory.is_some() || self.processes.is_some() || self.cpu_s.is_some()
    }

    /// Whether the layers are limited.
    #[must_use]
    pub fn on_layers(&self) -> bool {
        self.disk.is_some() || self.files.is_some()
    }
}

impl Limits {
    /// The names of all limits in options and files, in their order there.
    pub const NAMES: [&str; 8] = ["mem", "pids", "cpu", "time", "disk", "files", "fds", "output"];

    /// Sets the limit of this name from a text as people type it: `4G`, `512`, `10m`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let (unit, place) = self.place(name).ok_or("names no limit")?;
        *place = Some(unit.parse(value).ok_or(unit.wants())?);
        Ok(())
    }

    /// Every limit that is set: its name, its value as it can be typed again, and that value as a number.
    #[must_use]
    pub fn set_ones(mut self) -> Vec<(&'static str, String, u64)> {
        let mut all = Vec::new();
        for name in Limits::NAMES {
            if let Some((unit, Some(value))) = self.place(name).map(|(unit, place)| (unit, *place)) {
                all.push((name, unit.print(value), value));
            }
        }
        all
    }

    /// The stricter of both, limit by limit.
    #[must_use]
    pub fn tightened(self, by: Limits) -> Limits {
        self.joined(by, |own, theirs| match (own, theirs) {
            (Some(own), Some(theirs)) => Some(own.min(theirs)),
            (own, theirs) => own.or(theirs),
        })
    }

    /// These, and where one is not set here that of `other`.
    #[must_use]
    pub fn or(self, other: Limits) -> Limits {
        self.joined(other, Option::or)
    }

    fn joined(mut self, mut other: Limits, join: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Limits {
        for name in Limits::NAMES {
            if let (Some((_, own)), Some((_, theirs))) = (self.place(name), other.place(name)) {
                *own = join(*own, *theirs);
            }
        }
        self
    }

    fn place(&mut self, name: &str) -> Option<(Unit, &mut Option<u64>)> {
        Some(match name {
            "mem" => (Unit::Bytes, &mut self.memory),
            "pids" => (Unit::Number, &mut self.processes),
            "cpu" => (Unit::Time, &mut self.cpu_s),
            "time" => (Unit::Time, &mut self.wall_s),
            "disk" => (Unit::Bytes, &mut self.disk),
            "files" => (Unit::Number, &mut self.files),
            "fds" => (Unit::Number, &mut self.open_files),
            "output" => (Unit::Bytes, &mut self.output),
            _ => return None,
        })
    }
}

/// What the value of a limit counts.
#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Number,
    Time,
}

impl Unit {
    fn wants(self) -> &'static str {
        match self {
            Unit::Bytes => "wants bytes above 0, as in 512M, 10G",
            Unit::Number => "wants a number above 0",
            Unit::Time => "wants a time above 0, as in 30s, 20m, 2h",
        }
    }

    /// Letters behind a number and what they multiply it by.
    fn suffixes(self) -> &'static [(char, u64)] {
        match self {
            Unit::Bytes => &[('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)],
            Unit::Number => &[],
            Unit::Time => &[('s', 1), ('m', 60), ('h', 3_600)],
        }
    }

    fn parse(self, text: &str) -> Option<u64> {
        let suffix = self.suffixes().iter().find(|(letter, _)| text.ends_with(*letter));
        let (digits, factor) = match suffix {
            Some((letter, factor)) => (text.strip_suffix(*letter)?, *factor),
            None => (text, 1),
        };
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(factor).filter(|value| *value > 0)
    }

    /// As it can be typed.
    fn print(self, value: u64) -> String {
        let whole = self.suffixes().iter().rev().find(|(_, size)| value >= *size && value.is_multiple_of(*size));
        whole.map_or_else(|| value.to_string(), |(letter, size)| format!("{}{letter}", value / size))
    }
}

/// What a command took at its most, as far as that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Bytes of memory of all its processes together.
    pub memory: u64,
    /// Processes and threads at the same time.
    pub processes: u64,
    /// Milliseconds of processor time of all its processes together.
    pub cpu_ms: u64,
}

/// What a jar took in all, where the kernel counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of memory at the same time, files in memory and the kernel's own for it included.
    pub memory_peak: Option<u64>,
    /// Microseconds of processor time.
    pub cpu_us: Option<u64>,
}

/// A limit that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// [`Limits::disk`]: something inside got ENOSPC.
    Disk,
    /// [`Limits::files`]: likewise.
    Files,
    /// The last part of the host's disk, which a jar is not given.
    Reserve,
    /// The host's disk was full.
    HostDisk,
    /// [`Limits::memory`]: everything inside was killed.
    Memory,
    /// [`Limits::processes`]: no more could be started, or everything inside was killed.
    Processes,
    /// [`Limits::cpu_s`]: everything inside was killed.
    Cpu,
    /// [`Limits::wall_s`]: likewise.
    Wall,
    /// [`Limits::output`]: likewise.
    Output,
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn what_is_printed_is_read_again() {
        for (name, value) in [("mem", "4G"), ("mem", "1000"), ("pids", "512"), ("cpu", "10m"), ("time", "7201s")] {
            let mut limits = Limits::default();
            limits.set(name, value).unwrap();
            assert_eq!(limits.set_ones().first().map(|(name, text, _)| (*name, text.as_str())), Some((name, value)));
        }
        let mut all = Limits::default();
        for name in Limits::NAMES {
            all.set(name, "7").unwrap();
        }
        assert_eq!(all.set_ones().len(), 8);
        assert_eq!(all.set("nope", "7"), Err("names no limit"));
        assert!(all.set("mem", "7X").is_err() && all.set("pids", "1K").is_err() && all.set("time", "0s").is_err());
    }

    #[test]
    fn tightening_takes_the_lesser() {
        let limits = |memory, processes| Limits { memory, processes, ..Limits::default() };
        let both = limits(Some(5), None).tightened(limits(Some(7), Some(9)));
        assert_eq!(both, limits(Some(5), Some(9)));
        assert_eq!(both.tightened(limits(Some(1), None)), limits(Some(1), Some(9)));
        assert_eq!(limits(Some(5), None).or(limits(Some(1), Some(9))), limits(Some(5), Some(9)));
    }
}
