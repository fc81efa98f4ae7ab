//! What a jar gives up so that there can be jars inside it, and what a jar gives up inside another: pure, and told layer
//! by layer wherever a containment is shown.

use crate::error::SandboxError;
use crate::facts::RunFacts;
use crate::request::Request;
use model::{FilePath, Gap, Layer};

/// Landlock handles the file system of everything below it, or nothing: a right to mount does not exist.
const LANDLOCK: &str = "--allow-nested: it forbids every mount while it rules writes, so the view alone keeps writes in, \
                        and a named pipe of the host below /var or deeper than Belljar looks can be opened; signals and abstract sockets stay inside where the kernel can do that (Linux 6.12)";
const SECCOMP: &str = "--allow-nested: user namespaces and, in them, mounts and FUSE are open, which is more of the kernel to attack; \
                       every other rule stands";
/// The kernel knows one listener for a process.
const WATCH: &str = "the jar around this one has it: attempts to connect are in that trial";
/// Told when it happens, which depends on the covers of the outer jar.
pub(crate) const OUTER_NUMBERS: &str = "/proc is the outer jar's, with its numbers";
/// As above, where that /proc shows every process. The kernel asks no more than the user id for a list of descriptors.
pub(crate) const OUTER_PROC: &str = "under the covers of the outer jar the kernel mounts no new /proc: numbers, names and \
                                     arguments of the outer jar's processes are seen, and how many files they have open";

/// # Errors
/// [`SandboxError::Request`] where there is no place for what a Belljar inside needs.
pub(crate) fn check(request: &Request, facts: &RunFacts) -> Result<(), SandboxError> {
    match request.allow_nested && !facts.places.contains(&FilePath::from("/run")) {
        true => Err(SandboxError::Request("jars inside keep their state below /run, which this machine lacks".into())),
        false => Ok(()),
    }
}

/// What is known to be given up before anything is built.
pub(crate) fn gaps(request: &Request, facts: &RunFacts) -> Vec<Gap> {
    let outer: &[(Layer, &str)] = &[(Layer::Landlock, LANDLOCK), (Layer::Seccomp, SECCOMP)];
    let inner: &[(Layer, &str)] = &[(Layer::NetworkWatch, WATCH)];
    let outer = outer.iter().filter(|_| request.allow_nested);
    let all = outer.chain(inner.iter().filter(|_| facts.around.is_some()));
    all.map(|(layer, why)| Gap { layer: *layer, why: (*why).to_owned() }).collect()
}
