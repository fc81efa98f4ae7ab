//! Any bytes as a word of a command whose shell knows a few variables: no panic, the same answer twice, and joining
//! another command to it takes no effect away.
#![no_main]

use analyze::{ShellContext, analyze_bytes};
use libfuzzer_sys::fuzz_target;
use model::FilePath;

fuzz_target!(|word: &[u8]| {
    let shell = ShellContext {
        cwd: FilePath::from("/home/u/p"),
        home: FilePath::from("/home/u"),
        vars: vec![("a".into(), "x y".into()), ("b".into(), "*".into()), ("IFSX".into(), ",".into())],
        ..ShellContext::default()
    };
    let alone = [b"cat ".as_slice(), word].concat();
    let once = analyze_bytes(&alone, &shell);
    assert_eq!(once, analyze_bytes(&alone, &shell), "the same text, the same answer");
    let behind = [b"true\n".as_slice(), &alone].concat();
    let behind = analyze_bytes(&behind, &shell);
    let actions = |analysis: &model::Analysis| -> std::collections::BTreeSet<_> {
        analysis.effects.iter().map(|effect| (effect.action, effect.target.clone())).collect()
    };
    let high =
        |analysis: &model::Analysis| analysis.findings.iter().any(|finding| finding.severity == model::Risk::High);
    assert!(high(&behind) || actions(&behind).is_superset(&actions(&once)), "{:?}", String::from_utf8_lossy(word));
});
