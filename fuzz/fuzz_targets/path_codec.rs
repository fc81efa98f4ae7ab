//! Every path survives JSON, every text decodes to a path or to nothing, and what is printed holds nothing raw.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{FilePath, escape};

fuzz_target!(|bytes: &[u8]| {
    let path = FilePath::from(bytes.to_vec());
    assert_eq!(FilePath::decode(&path.encode()).as_ref(), Some(&path));
    let json = serde_json::to_string(&path).expect("a path is a JSON string");
    assert_eq!(serde_json::from_str::<FilePath>(&json).ok().as_ref(), Some(&path));

    let normal = path.normalise();
    assert_eq!(normal.normalise(), normal);
    assert!(!path.to_string().chars().any(escape::is_deceptive), "shown raw: {path:?}");

    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(decoded) = FilePath::decode(text)
    {
        assert_eq!(FilePath::decode(&decoded.encode()), Some(decoded));
    }
});
