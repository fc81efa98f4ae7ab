//! The view over a real FUSE mount, used by real programs.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Bench, sh};

#[test]
fn what_is_written_stays_above() {
    let bench = Bench::new();
    sh(
        &bench.host(),
        "mkdir -p d/e; echo old > d/f; echo two > d/e/g; ln -s f d/l; chmod 640 d/f",
    );
    let before = sh(&bench.host(), "find . -printf '%p %y %m %s %T@\n' | sort");
    bench.run(
        "test \"$(cat d/f)\" = old; echo new >> d/f; test \"$(cat d/f)\" = 'old
new'; test $(stat -c %a d/f) = 640
         rm d/e/g; rmdir d/e; ! test -e d/e; mkdir d/e; test -z \"$(ls d/e)\"
         mv d D; test -e D/f; ! test -e d; test \"$(readlink D/l)\" = f
         echo x > y; ln y z; test $(stat -c %h z) = 2; rm y; test \"$(cat z)\" = x",
    );
    assert_eq!(
        sh(&bench.host(), "find . -printf '%p %y %m %s %T@\n' | sort"),
        before
    );
    bench.run(
        "test \"$(tail -1 D/f)\" = new; test -d D/e; test -z \"$(ls D/e)\"; test \"$(ls)\" = 'D
z'",
    );
}
