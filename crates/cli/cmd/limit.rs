//! `--limit NAME=VALUE,...`: what a jar may take.

use crate::failure::Failure;
use model::Limits;

/// Reads the values of `--limit`. A name given twice: the last one counts.
pub(crate) fn limits(given: &[String]) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    for one in given.iter().flat_map(|given| given.split(',')) {
        let (name, value) = one.split_once('=').ok_or_else(|| wrong(one, "is no NAME=VALUE"))?;
        limits.set(name, value).map_err(|why| wrong(one, why))?;
    }
    Ok(limits)
}

fn wrong(given: &str, why: &str) -> Failure {
    Failure::Usage {
        message: format!("--limit {} {why}", model::escape::text(given)),
        hint: "as in --limit mem=4G,pids=512,cpu=10m,time=20m,disk=10G,files=100000,fds=1024,output=64M".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[&str]) -> Result<(Option<u64>, Option<u64>), String> {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        limits(&given).map(|limits| (limits.disk, limits.files)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn sizes_and_numbers() {
        assert_eq!(read(&[]), Ok((None, None)));
        assert_eq!(read(&["disk=10G,files=100000"]), Ok((Some(10 << 30), Some(100_000))));
        assert_eq!(read(&["disk=4096", "disk=1K"]), Ok((Some(1_024), None)));
    }

    #[test]
    fn every_limit_has_a_name() {
        let given = ["mem=4G,pids=512,cpu=10m,time=2h,disk=1K,files=7,fds=1024,output=64M".to_owned()];
        let expected = Limits {
            memory: Some(4 << 30),
            processes: Some(512),
            cpu_s: Some(600),
            wall_s: Some(7200),
            output: Some(64 << 20),
            disk: Some(1024),
            files: Some(7),
            open_files: Some(1024),
        };
        assert_eq!(limits(&given).unwrap(), expected);
    }

    #[test]
    fn nothing_is_silently_ignored() {
        for wrong in [
            "disk",
            "disk=",
            "disk=0",
            "disk=-1",
            "disk=+1",
            "disk=1X",
            "disk=1g",
            "files=1K",
            "files=1.5",
            "nope=1",
            "",
            "disk=1G,,files=1",
            "disk=99999999999T",
            "disk=1\u{202e}",
        ] {
            let told = read(&[wrong]).unwrap_err();
            assert!(told.starts_with("--limit ") && !told.contains('\u{202e}'), "{wrong}: {told}");
        }
    }
}
