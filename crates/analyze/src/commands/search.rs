//! Searching text and names. `find` has a reader of its own, see `special::find`.

use super::{Row, row};

pub(super) static ROWS: &[Row] = &[
    row(
        "grep",
        "-E,--extended-regexp -F,--fixed-strings -G,--basic-regexp -P,--perl-regexp -e,--regexp=:first -f,--file=:read+first -i,--ignore-case --no-ignore-case -w,--word-regexp -x,--line-regexp \
         -z,--null-data -s,--no-messages -v,--invert-match -V,--version:noop --help:noop -m,--max-count= -b,--byte-offset -n,--line-number --line-buffered -H,--with-filename -h,--no-filename \
         --label= -o,--only-matching -q,--quiet,--silent --binary-files= -a,--text -I -d,--directories= -D,--devices= -r,--recursive:recursive -R,--dereference-recursive:recursive --include= --exclude= \
         --exclude-from=:read --exclude-dir= -L,--files-without-match -l,--files-with-matches -c,--count -T,--initial-tab -Z,--null -B,--before-context= -A,--after-context= -C,--context= --color? --colour? -U,--binary -y -#",
        "data read*",
        "",
    ),
    row(
        "egrep",
        "-e=:first -f=:read+first -i -w -x -v -c -l -L -n -o -q -s -h -H -m= -A= -B= -C= -r:recursive -R:recursive --include= --exclude= --exclude-dir= --color?",
        "data read*",
        "",
    ),
    row(
        "fgrep",
        "-e=:first -f=:read+first -i -w -x -v -c -l -L -n -o -q -s -h -H -m= -A= -B= -C= -r:recursive -R:recursive --include= --exclude= --exclude-dir= --color?",
        "data read*",
        "",
    ),
    row(
        "rg",
        "-e,--regexp=:first -f,--file=:read+first --files:first --type-list:first -i,--ignore-case -S,--smart-case -s,--case-sensitive -w,--word-regexp -x,--line-regexp -v,--invert-match -F,--fixed-strings \
         -P,--pcre2 -U,--multiline --multiline-dotall -n,--line-number -N,--no-line-number -H,--with-filename -I,--no-filename -l,--files-with-matches --files-without-match -c,--count --count-matches \
         -o,--only-matching -q,--quiet -m,--max-count= -A,--after-context= -B,--before-context= -C,--context= -g,--glob= --iglob= -t,--type= -T,--type-not= --type-add= -u,--unrestricted -uu:recursive -uuu:recursive --hidden,-.:recursive \
         --no-ignore --no-ignore-vcs --no-ignore-parent --no-ignore-dot --ignore-file=:read -L,--follow -d,--max-depth= --max-filesize= --maxdepth= -j,--threads= --color= --colors= --column --no-heading --heading -p,--pretty \
         --json --vimgrep -0,--null --sort= --sortr= --stats --trim -r,--replace= -a,--text --binary --encoding= -E= --line-buffered --block-buffered --no-messages --no-config --passthru --one-file-system --path-separator= \
         --context-separator= --field-match-separator= -M,--max-columns= --max-columns-preview --engine= --crlf --debug -z,--search-zip --pre=:program+bj014 --pre-glob= --hostname-bin=:program+bj014 --hyperlink-format= -b,--byte-offset \
         -V,--version:noop -h,--help:noop --no-require-git --include-zero --auto-hybrid-regex --no-unicode",
        "data read*=.",
        "",
    ),
    row(
        "ag",
        "-i -s -S -l -L -c -n -w -v -Q -o -g=:first -G= -A= -B= -C= --hidden -u -t -a --ignore= --ignore-dir= --color --nocolor --nogroup --depth= -m= --pager=:program+bj014 --version:noop",
        "data read*=.",
        "",
    ),
    row(
        "ack",
        "-i -l -c -n -w -v -Q -o -A= -B= -C= --type= --nocolor -f:first -g=:first --pager=:program+bj014 --version:noop",
        "data read*=.",
        "",
    ),
    row(
        "fd",
        "-H,--hidden -I,--no-ignore -u,--unrestricted --no-ignore-vcs --no-ignore-parent -s,--case-sensitive -i,--ignore-case -g,--glob --regex -F,--fixed-strings -a,--absolute-path -l,--list-details -L,--follow -p,--full-path -0,--print0 \
         -d,--max-depth= --min-depth= --exact-depth= --prune -t,--type= -e,--extension= -S,--size= --changed-within= --changed-before= -o,--owner= -E,--exclude= --ignore-file=:read -c,--color= -j,--threads= --max-results= -1 -q,--quiet \
         --base-directory=:cwd --path-separator= --search-path=:list --strip-cwd-prefix? --one-file-system --show-errors --format= --and= -h,--help:noop -V,--version:noop",
        "data list*=.",
        "",
    ),
    row(
        "fdfind",
        "-H,--hidden -I,--no-ignore -i -g -a -l -L -p -0 -d,--max-depth= -t,--type= -e,--extension= -E,--exclude= -c,--color=",
        "data list*=.",
        "",
    ),
    row("locate", "-i -c -l,-n,--limit= -r= -b -e -0", "data*", ""),
    row(
        "fzf",
        "-f,--filter= -m -e -i --ansi -q= -1 -0 -n= -d= --preview=:shell+bj014 --bind=:bj014 --execute=:shell",
        "",
        "",
    ),
    row("ctags", "-R:recursive -f=:write --languages= --exclude=", "read*=.", "write:tags"),
    row("ast-grep", "-p,--pattern= -l,--lang= -r,--rewrite= -U,--update-all:does-write:.", "data tree*=.", ""),
];
