//! A small project as people have them: sources and data, odd names, links, archives, a repository.

use testkit::World;

/// Files that are there, as they are named; those with a newline or a leading dash too.
pub(crate) const FILES: &[&str] = &[
    "empty.txt",
    "words.txt",
    "sorted.txt",
    "large.log",
    "run.sh",
    "Makefile",
    ".hidden",
    "-dash.txt",
    "src/main.c",
    "src/util.h",
    "src/a b.txt",
    "src/it's.txt",
    "src/new\nline.txt",
    "lib/util.py",
    "docs/README.md",
    "docs/v1.2/notes",
    "data/rows.csv",
    "data/doc.json",
    "data/more.json",
    "data/base.sqlite",
    "logs/one.log",
    "logs/two.log",
    "logs/three.log",
    "notes",
    "read-only.txt",
    "pack.tar",
    "pack.tar.gz",
    "pack.zip",
    "words.gz",
    "words.xz",
    "words.bz2",
    "words.zst",
    "fix.patch",
    "sums.md5",
    "link.txt",
    "second",
    "broken",
];
/// Directories that are there.
pub(crate) const DIRS: &[&str] =
    &[".", "src", "lib", "docs", "docs/v1.2", "data", "logs", "bare", "lib-link", "with blank", "docs/../logs"];
/// Names that are not there.
pub(crate) const NEW: &[&str] = &[
    "out.txt",
    "out",
    "fresh",
    "new dir",
    "logs/out.log",
    "src/gen.c",
    "lib-link/made",
    "bare/x",
    "no/such/dir/x",
    "data/out.csv",
    "out.tar",
    "-o.txt",
    "broken",
    "o'ut",
    "out/",
    "~/in-home.txt",
    "/tmp/made-by-sweep",
];
/// Patterns that match some of them.
pub(crate) const GLOBS: &[&str] = &[
    "*.txt",
    "logs/*",
    "*/*.log",
    "src/?*",
    "[a-m]*",
    "data/*.json",
    "w*",
    "*.{gz,xz}",
    "{src,lib}/*",
    "no-match-*",
    "docs/*/",
    "words.*",
];

/// Makes the project in the workspace of `world`.
pub(crate) fn plant(world: &World) {
    let large: String =
        (0..6000).map(|line| format!("{line} error alpha beta gamma {}\n", line * 7919 % 6007)).collect();
    let files: &[(&str, &str)] = &[
        ("empty.txt", ""),
        ("words.txt", "delta\nalpha\ngamma\nalpha\nbeta 3\n"),
        ("sorted.txt", "alpha\nbeta\ngamma\n"),
        ("large.log", &large),
        ("Makefile", "all: out.o\nout.o: src/main.c\n\tcp src/main.c out.o\nclean:\n\trm -f out.o\n"),
        (".hidden", "alpha hidden\n"),
        ("-dash.txt", "alpha dash\n"),
        ("src/main.c", "#include \"util.h\"\nint main(void) { return alpha(); }\n"),
        ("src/util.h", "static int alpha(void) { return 0; }\n"),
        ("src/a b.txt", "alpha blank\n"),
        ("src/it's.txt", "alpha quote\n"),
        ("src/new\nline.txt", "alpha newline\n"),
        ("lib/util.py", "def alpha():\n    return 1\n"),
        ("docs/README.md", "# Title\n\nalpha beta.\n"),
        ("docs/v1.2/notes", "alpha notes\n"),
        ("data/rows.csv", "name,count\nalpha,3\nbeta,5\n"),
        ("data/doc.json", "{\"name\": \"alpha\", \"list\": [1, 2, 3]}\n"),
        ("data/more.json", "[{\"name\": \"beta\"}, {\"name\": \"gamma\"}]\n"),
        ("logs/one.log", "1 alpha\n2 beta\n"),
        ("logs/two.log", "2 beta\n3 gamma\n"),
        ("logs/three.log", "error alpha\r\nend\r\n"),
        ("notes", "alpha\nwords.txt\nlogs/one.log\nout.txt\n"),
        ("read-only.txt", "alpha fixed\n"),
        ("with blank/inner.txt", "alpha inner\n"),
        (".gitignore", "*.o\nout/\n"),
    ];
    for (path, text) in files {
        world.file(path, text);
    }
    world.script("run.sh", "#!/bin/sh\necho ran \"$@\"\n").mode("read-only.txt", 0o444).dir("bare");
    let made = world.command("sh").args(["-ec", MADE]).run();
    made.success();
    world.git_init();
    world.command("sh").args(["-ec", WORKED_ON]).run().success();
}

const MADE: &str = "
ln -s docs/README.md link.txt; ln -s lib lib-link; ln -s nowhere broken; ln words.txt second
tar cf pack.tar words.txt logs src/main.c; tar czf pack.tar.gz docs data/rows.csv
zip -q pack.zip words.txt logs/one.log
gzip -c words.txt > words.gz; xz -c words.txt > words.xz; bzip2 -c words.txt > words.bz2; zstd -qc words.txt > words.zst
md5sum words.txt sorted.txt > sums.md5
sqlite3 data/base.sqlite \"create table t(name text, n int); insert into t values('alpha',1),('beta',2);\"
printf -- '--- words.txt\\n+++ words.txt\\n@@ -1,2 +1,2 @@\\n-delta\\n+epsilon\\n alpha\\n' > fix.patch
";

/// What has happened since the last commit: a change that is staged, one that is not, a file nobody added, a branch, a
/// stash and a tag.
const WORKED_ON: &str = "
git branch side; git tag v1
echo stashed >> notes; git stash -q
echo staged >> sorted.txt; git add sorted.txt
echo changed >> docs/README.md
echo untracked > extra.txt
";
