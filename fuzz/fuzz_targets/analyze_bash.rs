//! Any bytes as a command: no panic, the same answer twice, spans inside the text, and what is not understood is
//! never LOW.
#![no_main]

use analyze::{ShellContext, analyze_bytes};
use libfuzzer_sys::fuzz_target;
use model::{Coverage, FilePath, Place, Risk};
use policy::Policy;
use std::sync::LazyLock;

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::builtin().expect("the built-in policy loads"));

fn place(contained: bool) -> Place {
    Place {
        cwd: FilePath::from("/home/u/p"),
        home: FilePath::from("/home/u"),
        workspace: FilePath::from("/home/u/p"),
        state: FilePath::from("/home/u/.local/state/belljar"),
        uid: 1000,
        contained,
    }
}

fuzz_target!(|text: &[u8]| {
    let shell =
        ShellContext { cwd: FilePath::from("/home/u/p"), home: FilePath::from("/home/u"), ..ShellContext::default() };
    let analysis = analyze_bytes(text, &shell);
    assert_eq!(analysis, analyze_bytes(text, &shell), "the same text, the same answer");

    let spans = analysis.findings.iter().map(|finding| finding.span);
    let spans = spans.chain(analysis.effects.iter().filter_map(|effect| effect.span));
    for span in spans.chain(analysis.certificates.iter().map(|certificate| certificate.span)) {
        assert!(span.start <= span.end && span.end <= analysis.text.len(), "{span:?} of {}", analysis.text.len());
    }
    for contained in [false, true] {
        let assessment = POLICY.assess(&analysis, &place(contained));
        assert!(assessment.tiers.contained <= assessment.tiers.bare, "a jar never makes it worse");
        if matches!(analysis.coverage, Coverage::Partial(_)) {
            assert!(assessment.tiers.bare > Risk::Low, "not understood is never LOW");
        }
        let _ = POLICY.decide(&analysis, &assessment, &place(contained));
    }
});
