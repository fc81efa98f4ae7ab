//! Files and directories: coreutils, find's relatives, archives.

use super::{Row, row};

pub(super) static ROWS: &[Row] = &[
    row(
        "ls",
        "-a,--all -A,--almost-all --author -b,--escape --block-size= -B,--ignore-backups -c -C --color? -d,--directory -D,--dired -f -F,--classify? \
         --file-type --format= --full-time -g -G,--no-group --group-directories-first -h,--human-readable --si -H --dereference-command-line-symlink-to-dir \
         --hide= --hyperlink? --indicator-style= -i,--inode -I,--ignore= -k,--kibibytes -l -L,--dereference -m -n,--numeric-uid-gid -N,--literal -o -p \
         -q,--hide-control-chars --show-control-chars -Q,--quote-name --quoting-style= -r,--reverse -R,--recursive -s,--size -S --sort= --time= \
         --time-style= -t -T,--tabsize= -u -U -v -w,--width= -x -X -Z,--context --zero -1 --help:noop --version:noop",
        "list*=.",
        "",
    ),
    row("dir", "-a -l -1 -R -h", "list*=.", ""),
    row("vdir", "-a -l -1 -R -h", "list*=.", ""),
    row("exa", "-1 -a -l -R -T -h --git --tree --long --all --level= -L= --icons --color=", "list*=.", ""),
    row("eza", "-1 -a -l -R -T -h --git --tree --long --all --level= -L= --icons --color=", "list*=.", ""),
    row("lsd", "-1 -a -l -R --tree --depth=", "list*=.", ""),
    row("pwd", "-L,--logical -P,--physical --help:noop --version:noop", "", ""),
    row("basename", "-a,--multiple -s,--suffix= -z,--zero --help:noop --version:noop", "data*", ""),
    row("dirname", "-z,--zero --help:noop --version:noop", "data*", ""),
    row(
        "realpath",
        "-e,--canonicalize-existing -m,--canonicalize-missing -L,--logical -P,--physical -q,--quiet --relative-to= --relative-base= -s,--strip,--no-symlinks -z,--zero --help:noop --version:noop",
        "list*",
        "",
    ),
    row(
        "readlink",
        "-f,--canonicalize -e,--canonicalize-existing -m,--canonicalize-missing -n,--no-newline -q,--quiet -s,--silent -v,--verbose -z,--zero --help:noop --version:noop",
        "list*",
        "",
    ),
    row(
        "stat",
        "-L,--dereference -f,--file-system --cached= -c,--format= --printf= -t,--terse --help:noop --version:noop",
        "list*",
        "",
    ),
    row(
        "file",
        "-b,--brief -c,--checking-printout -C,--compile:does-write:. -d -e,--exclude= --exclude-quiet= -E --extension -F,--separator= -f,--files-from=:read+bj014 -h,--no-dereference -i,--mime \
         --mime-type --mime-encoding -k,--keep-going -l,--list -L,--dereference -m,--magic-file=:read+bj014 -n,--no-buffer -N,--no-pad -p,--preserve-date:as-attr -P,--parameter= -r,--raw \
         -s,--special-files -S,--no-sandbox -v,--version:noop -z,--uncompress -Z,--uncompress-noreport -0,--print0 --help:noop",
        "list*",
        "",
    ),
    row(
        "du",
        "-a,--all --apparent-size -B,--block-size= -b,--bytes -c,--total -D,--dereference-args -d,--max-depth= --files0-from=:read -H -h,--human-readable --inodes -k \
         -L,--dereference -l,--count-links -m -P,--no-dereference -S,--separate-dirs --si -s,--summarize -t,--threshold= --time? --time-style= -X,--exclude-from=:read \
         --exclude= -x,--one-file-system -0,--null --help:noop --version:noop",
        "list*=.",
        "",
    ),
    row(
        "df",
        "-a,--all -B,--block-size= -h,--human-readable -H,--si -i,--inodes -k -l,--local --no-sync --output? -P,--portability --sync --total -t,--type= -T,--print-type -x,--exclude-type= --help:noop --version:noop",
        "list*",
        "",
    ),
    row(
        "tree",
        "-a -d -l -f -x -L= -R -P= -I= --gitignore --ignore-case --matchdirs --metafirst --prune --info --noreport --charset= --filelimit= --timefmt= -o=:write \
         -q -N -Q -p -u -g -s -h --si --du -D -F --inodes --device -v -t -c -U -r --dirsfirst --filesfirst --sort? -i -A -S -n -C -X -J -H= -T= --nolinks --fromfile --help:noop --version:noop",
        "list*=.",
        "",
    ),
    row("sync", "-d,--data -f,--file-system --help:noop --version:noop", "list*", ""),
    row("mkdir", "-m,--mode= -p,--parents -v,--verbose -Z --context? --help:noop --version:noop", "dir*", ""),
    row("rmdir", "-p,--parents -v,--verbose --ignore-fail-on-non-empty --help:noop --version:noop", "delete*", ""),
    row(
        "touch",
        "-a -c,--no-create -d,--date= -f -h,--no-dereference -m -r,--reference=:list -t= --time= --help:noop --version:noop",
        "write*",
        "",
    ),
    row(
        "cp",
        "-a,--archive:recursive --attributes-only --backup? -b --copy-contents -d -f,--force -i,--interactive -H -l,--link -L,--dereference -n,--no-clobber -P,--no-dereference \
         -p --preserve? --no-preserve= --parents -R,-r,--recursive:recursive --reflink? --remove-destination --sparse= --strip-trailing-slashes -s,--symbolic-link -S,--suffix= \
         -t,--target-directory=:into+as-read -T,--no-target-directory -u --update? -v,--verbose -x,--one-file-system -Z --context? --help:noop --version:noop",
        "read* dest",
        "",
    ),
    row(
        "mv",
        "--backup? -b -f,--force -i,--interactive -n,--no-clobber --strip-trailing-slashes -S,--suffix= -t,--target-directory=:into+as-from -T,--no-target-directory -u --update? -v,--verbose -Z,--context --help:noop --version:noop",
        "from* dest",
        "",
    ),
    row(
        "rm",
        "-f,--force -i -I --interactive? --one-file-system --no-preserve-root:bj019 --preserve-root? -r,-R,--recursive:recursive -d,--dir -v,--verbose --help:noop --version:noop",
        "delete*",
        "",
    ),
    row("unlink", "--help:noop --version:noop", "delete", ""),
    row(
        "shred",
        "-f,--force -n,--iterations= --random-source=:read -s,--size= -u:as-shredded --remove?:as-shredded -v,--verbose -x,--exact -z,--zero --help:noop --version:noop",
        "write*",
        "bj019",
    ),
    row(
        "ln",
        "--backup? -b -d,-F,--directory -f,--force -i,--interactive -L,--logical -n,--no-dereference -P,--physical -r,--relative -s,--symbolic -S,--suffix= \
         -t,--target-directory=:into+as-list -T,--no-target-directory -v,--verbose --help:noop --version:noop",
        "list* link",
        "",
    ),
    row("link", "", "list link", ""),
    row(
        "chmod",
        "-c,--changes -f,--silent,--quiet -v,--verbose --no-preserve-root:bj019 --preserve-root --reference=:list+first -R,--recursive:recursive --help:noop --version:noop",
        "data attr*",
        "",
    ),
    row(
        "chown",
        "-c,--changes -f,--silent,--quiet -v,--verbose --dereference -h,--no-dereference --from= --no-preserve-root:bj019 --preserve-root --reference=:list+first -R,--recursive:recursive -H -L -P --help:noop --version:noop",
        "data attr*",
        "bj020",
    ),
    row(
        "chgrp",
        "-c,--changes -f,--silent,--quiet -v,--verbose --dereference -h,--no-dereference --reference=:list+first -R,--recursive:recursive -H -L -P --help:noop --version:noop",
        "data attr*",
        "",
    ),
    row("chattr", "-R:recursive -V -f -v=", "data attr*", "bj020"),
    row("lsattr", "-R -V -a -d -l -p -v", "list*=.", ""),
    row("setfacl", "-m,--modify= -x= -b -k -R:recursive -d -n -v", "attr*", ""),
    row("getfacl", "-a -d -c -e -E -s -R -L -P -t -n -p", "list*", ""),
    row("setfattr", "-n= -v= -x= -h", "attr*", ""),
    row("getfattr", "-n= -d -e= -h -m= -R --absolute-names", "list*", ""),
    row("setcap", "-q -v -n= -r", "data attr*", "privilege:setcap bj020"),
    row("getcap", "-v -n -r", "list*", ""),
    row(
        "install",
        "--backup? -b -c -C,--compare -d,--directory:as-dir -D -g,--group= -m,--mode= -o,--owner= -p,--preserve-timestamps -s,--strip --strip-program=:program -S,--suffix= \
         -t,--target-directory=:into+as-read -T,--no-target-directory -v,--verbose -Z --context? --help:noop --version:noop",
        "read* dest",
        "",
    ),
    row(
        "truncate",
        "-c,--no-create -o,--io-blocks -r,--reference=:list -s,--size= --help:noop --version:noop",
        "write*",
        "bj019",
    ),
    row("fallocate", "-c -d -i -n -o= -l= -p -v -x -z", "write", ""),
    row(
        "mktemp",
        "-d,--directory -u,--dry-run:noop -q,--quiet --suffix= -p= --tmpdir? -t --help:noop --version:noop",
        "data",
        "",
    ),
    row("mkfifo", "-m,--mode= -Z --help:noop --version:noop", "create*", ""),
    row("mknod", "-m,--mode= --help:noop --version:noop", "create data*", "privilege:mknod bj020"),
    row(
        "cmp",
        "-b,--print-bytes -i,--ignore-initial= -l,--verbose -n,--bytes= -s,--quiet,--silent --help:noop -v,--version:noop",
        "read read data*",
        "",
    ),
    row(
        "diff",
        "--normal -q,--brief -s,--report-identical-files -c -C,--context= -u -U,--unified? -e,--ed -n,--rcs -y,--side-by-side -W,--width= --left-column --suppress-common-lines \
         -p,--show-c-function -F,--show-function-line= --label= -t,--expand-tabs -T,--initial-tab --tabsize= --suppress-blank-empty -l,--paginate -r,--recursive:recursive \
         --no-dereference -N,--new-file --unidirectional-new-file --ignore-file-name-case --no-ignore-file-name-case -x,--exclude= -X,--exclude-from=:read -S,--starting-file= \
         --from-file=:read --to-file=:read -i,--ignore-case -E,--ignore-tab-expansion -Z,--ignore-trailing-space -b,--ignore-space-change -w,--ignore-all-space -B,--ignore-blank-lines \
         -I,--ignore-matching-lines= -a,--text --strip-trailing-cr -D,--ifdef= -d,--minimal --horizon-lines= --speed-large-files --color? --palette= --help:noop -v,--version:noop",
        "read*",
        "",
    ),
    row("diff3", "-A -e -E -m -x -X -3 -i -a -T --strip-trailing-cr --diff-program=:program", "read*", ""),
    row("colordiff", "-u -r -q", "read*", ""),
    row(
        "patch",
        "-p,--strip= -R,--reverse -i,--input=:read -d,--directory=:cwd -N,--forward -E -f,--force -t,--batch -s,--quiet,--silent -u,--unified -b,--backup -o,--output=:write -r,--reject-file=:write -l --dry-run:noop --verbose -F,--fuzz= --no-backup-if-mismatch --help:noop -v,--version:noop",
        "write read",
        "write:.",
    ),
    row(
        "md5sum",
        "-b,--binary -c,--check -t,--text -z,--zero --tag --ignore-missing --quiet --status --strict -w,--warn --help:noop --version:noop",
        "read*",
        "",
    ),
    row(
        "sha1sum",
        "-b,--binary -c,--check -t,--text -z,--zero --tag --ignore-missing --quiet --status --strict -w,--warn --help:noop --version:noop",
        "read*",
        "",
    ),
    row("sha224sum", "-b,--binary -c,--check -t,--text -z,--zero --tag --quiet --status", "read*", ""),
    row(
        "sha256sum",
        "-b,--binary -c,--check -t,--text -z,--zero --tag --ignore-missing --quiet --status --strict -w,--warn --help:noop --version:noop",
        "read*",
        "",
    ),
    row("sha384sum", "-b,--binary -c,--check -t,--text -z,--zero --tag --quiet --status", "read*", ""),
    row(
        "sha512sum",
        "-b,--binary -c,--check -t,--text -z,--zero --tag --ignore-missing --quiet --status --strict -w,--warn --help:noop --version:noop",
        "read*",
        "",
    ),
    row("b2sum", "-b,--binary -c,--check -t,--text -l,--length= -z,--zero --tag --quiet --status", "read*", ""),
    row("b3sum", "-c,--check --no-names --num-threads= --raw -l,--length=", "read*", ""),
    row("shasum", "-a,--algorithm= -b,--binary -c,--check -t,--text", "read*", ""),
    row("cksum", "-a,--algorithm= -b -c,--check -l= --raw --tag --untagged -z", "read*", ""),
    row("sum", "-r -s,--sysv", "read*", ""),
    row(
        "tar",
        // What the verbs do to the archive is read in code.
        "-c,--create -x,--extract,--get:does-write:. -t,--list -r,--append -u,--update -A,--catenate,--concatenate -d,--diff,--compare --delete --test-label -f,--file= -z,--gzip,--gunzip,--ungzip -j,--bzip2 -J,--xz -Z,--compress --zstd --lzma --lzip --lzop -a,--auto-compress \
         -v,--verbose -C,--directory= -p,--preserve-permissions,--same-permissions --no-same-permissions --same-owner --no-same-owner --strip-components= --exclude= -X,--exclude-from=:read -T,--files-from=:read -k,--keep-old-files --skip-old-files --keep-newer-files \
         --overwrite -U,--unlink-first --recursive-unlink -O,--to-stdout -P,--absolute-names:bj018 -h,--dereference -w,--interactive,--confirmation --totals? --wildcards --no-wildcards --anchored --no-anchored --transform,--xform= --sort= --mtime= --owner= --group= --numeric-owner --mode= -m,--touch --exclude-vcs --exclude-caches --exclude-backups --one-top-level?:into \
         -I,--use-compress-program= --checkpoint? --checkpoint-action= --to-command=:shell --rsh-command=:program --rmt-command=:program -F,--info-script,--new-volume-script=:program -g,--listed-incremental=:write --index-file=:write --volno-file=:write \
         -b,--blocking-factor= -S,--sparse -W,--verify -i,--ignore-zeros -H,--format= --posix -V,--label= -N,--newer,--after-date= --newer-mtime= --one-file-system --full-time -l,--check-links -R,--block-number --null --no-recursion --recursion --ignore-failed-read --backup? --suffix= --warning= --utc --force-local --no-unquote --verbatim-files-from \
         --remove-files:bj019 --help:noop --version:noop",
        "read*",
        "",
    ),
    row(
        "gzip",
        "-c,--stdout,--to-stdout -d,--decompress,--uncompress -f,--force -k,--keep -l,--list -n,--no-name -N,--name -q,--quiet -r,--recursive -S,--suffix= -t,--test -v,--verbose -# -1,--fast -9,--best --rsyncable --synchronous -h,--help:noop -L,--license:noop -V,--version:noop",
        "write*",
        "",
    ),
    row(
        "gunzip",
        "-c,--stdout,--to-stdout -f,--force -k,--keep -l,--list -n,--no-name -N,--name -q,--quiet -r,--recursive -S,--suffix= -t,--test -v,--verbose --synchronous --help:noop --version:noop",
        "write*",
        "",
    ),
    row(
        "bzip2",
        "-c,--stdout -d,--decompress -f,--force -k,--keep -q,--quiet -t,--test -v,--verbose -s,--small -# --fast --best -z,--compress -h,--help:noop -L,--license:noop -V,--version:noop",
        "write*",
        "",
    ),
    row(
        "bunzip2",
        "-c,--stdout -f,--force -k,--keep -q,--quiet -t,--test -v,--verbose -s,--small -h,--help:noop",
        "write*",
        "",
    ),
    row(
        "xz",
        "-c,--stdout,--to-stdout -d,--decompress,--uncompress -f,--force -k,--keep -l,--list -q,--quiet -t,--test -v,--verbose -T,--threads= -S,--suffix= -# -e,--extreme -z,--compress -h,--help:noop -H,--long-help:noop -V,--version:noop",
        "write*",
        "",
    ),
    row(
        "unxz",
        "-c,--stdout,--to-stdout -f,--force -k,--keep -q,--quiet -t,--test -v,--verbose -S,--suffix= -T,--threads= -h,--help:noop",
        "write*",
        "",
    ),
    row(
        "zstd",
        "-c,--stdout -d,--decompress,--uncompress -f,--force -k,--keep -q,--quiet -v,--verbose -t,--test -l,--list -z,--compress -T? -o=:write -# --ultra --fast? --adapt? -D=:read --rm --long? -r --check --no-check --no-progress --rsyncable --single-thread -h,-H,--help:noop -V,--version:noop",
        "write*",
        "",
    ),
    row("zcat", "-f -h -L -r -t -v", "read*", ""),
    row("bzcat", "-s", "read*", ""),
    row("xzcat", "", "read*", ""),
    row("zstdcat", "", "read*", ""),
    row("zgrep", "-i -n -c -v -l -h -H -E -F -w -o -q -e=:first", "data read*", ""),
    row("zless", "", "read*", ""),
    row(
        "zip",
        "-r,--recurse-paths -j,--junk-paths -q,--quiet -v,--verbose -u,--update -f,--freshen -m,--move:bj019 -d,--delete -# -e -P= -x,--exclude= -i,--include= -T,--test -TT=:shell --unzip-command=:shell -y,--symlinks -X -D -g,--grow -o -O,--out=:write -b=:into -@",
        "write read*",
        "",
    ),
    row(
        "unzip",
        // Whether it only looks is read in code.
        "-l -t -Z -p -c -v -z -o -n -q -qq -j -f -u -a -aa -b -C -L -X -V -B -M -d=:into -x= -P= -W -K:bj020 -h:noop --help:noop",
        "read data*",
        "",
    ),
    row("zipinfo", "-1 -2 -s -m -l -v -h -t -T -z", "read data*", ""),
    row("7z", "-y -o?:dest -p? -r -t?", "data write*", "write:."),
    row(
        "cpio",
        "-i,--extract:does-write:. -o,--create -p,--pass-through:as-into -t,--list -v,--verbose -d -m -u -H,--format= -F,--file=:write -I=:read -O=:write -0,--null -D=:cwd --no-absolute-filenames --rsh-command=:program",
        "data*",
        "",
    ),
    row("ar", "", "data write read*", ""),
    row(
        "split",
        "-a,--suffix-length= -b,--bytes= -C,--line-bytes= -d --numeric-suffixes? -x -e -l,--lines= -n,--number= -t= -u --additional-suffix= --filter=:shell --verbose",
        "read data",
        "write:.",
    ),
    row("csplit", "-b= -f,--prefix=:write -k -n= -s -z", "read data*", "write:."),
    row(
        "rename",
        "-v,--verbose -n,--nono,--no-act:noop -f,--force -o,--no-overwrite -V,--version:noop -h,--help:noop",
        "data from*",
        "",
    ),
    row("trash", "-v -f", "delete*", ""),
    row("trash-put", "-v -f", "delete*", ""),
    row("xdg-open", "", "exec", ""),
    row("open", "-a= -e -t -n -g -R", "exec*", ""),
    row(
        "lsof",
        "-i? -n -P -p= -t -u= -c= -d= -a -l -b -w -O -R -U -N -V -s? -F? -r? -g? -T? +D= +d= +L? +c= +f? +w +M",
        "list*",
        "",
    ),
    row("fuser", "-v -n= -u -a -k:does-signal:processes -m -s -i", "list*", ""),
    row("mountpoint", "-q -d -x", "list", ""),
    row("findmnt", "-l -n -o= -t= -J -r -a -T= -D --df", "list*", ""),
    row("lsblk", "-a -b -d -f -J -l -m -n -o= -O -p -r -S -t -e= -I=", "list*", ""),
    row("blkid", "-o= -s= -p -L= -U=", "list*", ""),
    row("namei", "-x -m -o -l -n -v", "list*", ""),
    row("pathchk", "-p -P --portability", "data*", ""),
    row("dos2unix", "-k -q -n -b -o -f", "write*", ""),
    row("unix2dos", "-k -q -n -b -o -f", "write*", ""),
    row(
        "rsync",
        "-a,--archive -v,--verbose -z,--compress -r,--recursive -n,--dry-run -h,--human-readable -P --progress --partial --stats -u,--update -c,--checksum -l,--links -p,--perms -t,--times -g -o -D -H -A -X -R,--relative -i,--itemize-changes -q,--quiet -W --exclude= --include= --exclude-from=:read --include-from=:read --files-from=:read --delete:bj019 --delete-after:bj019 --delete-before:bj019 --delete-during:bj019 --delete-excluded:bj019 --remove-source-files:bj019 -e,--rsh=:program --rsync-path=:program --info= --max-size= --bwlimit= --no-owner --no-group --no-perms --chmod= --help:noop --version:noop",
        "remote* remote",
        "",
    ),
];
