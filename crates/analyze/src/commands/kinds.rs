//! Kinds of tools that have no rows of their own: what all uses of one are, and which of its options hold code or load it.

use crate::index::Index;

/// Tools whose every use is of one kind, whatever their arguments say.
struct Kind {
    tools: &'static str,
    /// Facts, as in the last column of a row.
    does: &'static str,
}

#[rustfmt::skip]
static KINDS: &[Kind] = &[
    Kind { tools: "semantic-release release-it np surge now auto standard-release", does: "remote:what_others_use bj019" },
    Kind { tools: "codecov coveralls gist pastebinit wgetpaste ix sprunge", does: "net: bj017" },
    Kind { tools: "newgrp ", does: "privilege:another_group bj020" },
    Kind { tools: "update-desktop-database desktop-file-install kwriteconfig5 gconftool-2", does: "changes:the_desktop bj016" },
    Kind { tools: "zmodload ztcp zsocket zftp zpty sysopen", does: "exec bj014" },
    Kind { tools: "cpan cpanm rustup-init sdkman", does: "exec bj015" },
    Kind { tools: "http-server caddy miniserve httpd darkhttpd thttpd ttyd gotty code-server", does: "listen" },
    // Modules of python, as `python -m` runs them.
    Kind { tools: "-m:webbrowser -m:antigravity -m:ftplib -m:smtplib -m:smtpd -m:telnetlib -m:poplib -m:imaplib -m:nntplib -m:aiosmtpd", does: "net: bj017" },
    Kind { tools: "-m:code -m:idlelib -m:runpy -m:asyncio -m:pty -m:IPython", does: "exec bj013" },
    Kind { tools: "-m:SimpleHTTPServer -m:pydoc -m:xmlrpc.server -m:wsgiref.simple_server", does: "listen" },
    Kind { tools: "wipe srm scrub nwipe dban", does: "bj019" },
    Kind { tools: "sfdisk cfdisk gdisk cgdisk partprobe partx", does: "privilege:partitions bj020 bj019" },
    Kind { tools: "pvremove pvcreate lvreduce lvresize lvcreate vgcreate vgreduce vgextend lvextend lvconvert lvchange vgchange", does: "privilege:lvm bj020 bj019" },
    Kind { tools: "mdadm badblocks resize2fs tune2fs e2fsck xfs_repair debugfs zerofree dmsetup kpartx fstrim ddrescue partclone \
         partimage mkfs.ntfs mkfs.f2fs mkfs.exfat mke2fs newfs mkdosfs sg_format", does: "privilege:a_device bj020 bj019" },
    Kind { tools: "kexec grub-install grub2-install grub-mkconfig update-grub efibootmgr bootctl flashrom fwupdmgr update-initramfs \
         dracut mkinitcpio depmod mokutil", does: "privilege:booting bj020 bj019" },
    Kind { tools: "hwclock ntpdate chronyc", does: "privilege:the_clock bj020" },
    Kind { tools: "firewall-cmd ipset ebtables arptables ip6tables iptables-restore nftables brctl ovs-vsctl \
         wpa_supplicant wg wg-quick openvpn pppd dhclient dhcpcd ifup ifdown macchanger", does: "privilege:the_network bj020" },
    Kind { tools: "apparmor_parser aa-disable aa-teardown aa-complain aa-remove-unknown semodule semanage setsebool restorecon \
         chcon", does: "privilege:mandatory_access_control bj020" },
    Kind { tools: "xhost", does: "privilege:the_display bj020" },
    Kind { tools: "dbus-send gdbus qdbus", does: "changes:other_programs bj020" },
    Kind { tools: "update-rc.d chkconfig rc-update insserv systemd-sysusers systemd-tmpfiles rc-service invoke-rc.d", does: "changes:services bj020 bj009" },
    Kind { tools: "apt-key add-apt-repository apt-add-repository update-ca-certificates update-ca-trust certutil keytool", does: "privilege:what_is_trusted bj016 bj020" },
    Kind { tools: "vipw vigr newusers pwconv pwunconv grpconv faillock pam-auth-update authselect polkit-auth pkcheck chage chfn \
         newuidmap newgidmap", does: "privilege:users bj020" },
    Kind { tools: "incrontab anacron fcron fcrontab", does: "changes:scheduled_jobs bj009" },
    Kind { tools: "fail2ban-client aureport ausearch augenrules faillog", does: "privilege:the_system_log bj020" },
    Kind { tools: "kinit kadmin kpasswd ldapmodify ldapadd ldapdelete ldappasswd smbpasswd pdbedit samba-tool realm adcli wbinfo \
         rpcclient", does: "net: remote:a_directory bj020" },
    Kind { tools: "arpspoof ettercap bettercap responder aircrack-ng airodump-ng aireplay-ng airmon-ng tcpreplay hping3 mitmproxy \
         mitmdump dsniff scapy yersinia", does: "privilege:the_network bj020 net:" },
    Kind { tools: "hydra medusa ncrack john hashcat sqlmap nikto gobuster ffuf wfuzz dirb nuclei msfconsole msfvenom msfdb \
         crackmapexec netexec evil-winrm enum4linux mimipenguin mimikatz linpeas.sh linpeas pspy lazagne chisel ligolo \
         gost frpc frps bore iodine dnscat dnscat2 impacket-secretsdump impacket-psexec secretsdump.py responder.py \
         empire sliver-client xmrig minerd cpuminer ccminer ethminer nbminer t-rex", does: "bj020 net: exec" },
    Kind { tools: "zmap rustscan", does: "net: bj017" },
    Kind { tools: "stress stress-ng", does: "bj020" },
    Kind { tools: "dockerd containerd kubelet runc crun kata-runtime buildkitd", does: "privilege:containers bj020" },
    Kind { tools: "telnetd in.telnetd sshd vsftpd proftpd rshd rlogind tftpd xinetd inetd dropbear x11vnc vncserver Xvnc xrdp \
         tigervncserver", does: "listen bj020" },
    Kind { tools: "lftp ncftp ncftpput smbclient azcopy s3cmd croc wormhole magic-wormhole transfer.sh gdrive onedrive swaks msmtp \
         mutt mailx s-nail neomutt websocat mosquitto_pub kcat kafkacat nats amqp-publish slackcat localtunnel \
         zerotier-cli ", does: "net: bj017 remote:other_machines" },
    Kind { tools: "op bw lpass gopass keepassxc-cli rbw dcli gnome-keyring kwallet-query ", does: "exec bj017" },
    Kind { tools: "rpmbuild alien checkinstall run-parts logrotate", does: "exec bj014" },
    Kind { tools: "emerge yay paru pikaur xbps-install opkg swupd eopkg pkgin tdnf microdnf", does: "exec privilege:packages bj020" },
    Kind { tools: "pssh pdsh clush parallel-ssh dsh mussh salt salt-ssh salt-call puppet chef-client knife ansible ansible-console \
         ansible-pull autossh mosh rexec rsh rlogin virt-customize guestfish", does: "exec remote:machines bj020" },
    Kind { tools: "initdb pg_ctl pg_resetwal pg_upgrade mongorestore kafka-topics kafka-topics.sh kafka-configs \
         kafka-consumer-groups", does: "changes:a_database bj019" },
    Kind { tools: "cqlsh clickhouse-client sqlcmd bcp sqlplus db2 snowsql impala-shell beeline ", does: "remote:a_database" },
];

/// Options of tools, blank-separated: `--option` also as `--option=value`, `-o` also with the value attached.
struct Options {
    tools: &'static str,
    options: &'static str,
}

const fn options(tools: &'static str, options: &'static str) -> Options {
    Options { tools, options }
}

/// Interpreters, and the options whose value is code. Code on standard input counts too.
static CODE: &[Options] = &[
    options("irb pry jshell ipython bpython ptpython sqlplus", "-e -c -E"),
    options("sbcl ecl clisp ccl abcl chibi-scheme gosh csi mit-scheme scheme chez petite", "--eval --load -e -x -eval"),
    options("clojure clj bb lein boot nbb fennel janet hy", "-e -M:e --eval -c"),
    options("ghc runghc runhaskell cabal-repl ghci", "-e"),
    options("ocaml utop sml polyml coqtop lean idris", "-e -eval"),
    options("swipl gprolog yap scryer-prolog", "-g -t --goal"),
    options("m4 gm4", ""),
    options(
        "maxima gap sage magma gp matlab scilab scilab-cli wolframscript math gnuplot dyalog j apl q R.bin littler r",
        "--batch-string -r -e -code  -batch --run -c",
    ),
    options("lldb", "-o --one-line -O -b -s --source -k"),
    options("kotlin kotlinc scala-cli amm groovysh jbang bsh", "-e -script -c"),
    options(
        "tex latex pdftex pdflatex xetex xelatex luatex lualatex texlua context",
        "-shell-escape --shell-escape -enable-write18 --lua",
    ),
    options("nix-build nix-instantiate", "-E --expr"),
    options("nix", "--expr --impure"),
    options("crystal nim v zig odin dmd rdmd swift-repl gore yaegi gomacro evcxr rust-script", "eval -e --eval -c"),
    options("newlisp picolisp rebol red factor gforth pforth forth tcc cling root euphoria", "-e -c -run -s"),
    options("elinks newsboat mpv vlc rtorrent weechat irssi", "-eval --script --lua -x -r"),
    options("mutt neomutt nano-rc", "-e -F"),
    options("vimdiff gvim gview rview rvim view evim", "-c -s -S --cmd"),
    options("kak hx micro joe jed", "-e"),
    options("cmd cmd.exe powershell powershell.exe wscript cscript mshta", "/c -c -Command -enc"),
];

/// Options with which a tool runs a program or loads code that it is told of.
static LOADS: &[Options] = &[
    options("pandoc", "-F --filter -L --lua-filter --pdf-engine --defaults -d"),
    options("openssl", "-engine -provider-path --provider-path engine"),
    options(
        "php",
        "-dauto_prepend_file -dextension -dzend_extension auto_prepend_file extension zend_extension auto_append_file",
    ),
    options("java javaw", "-javaagent -agentpath -agentlib -Xbootclasspath"),
    options("ld ar nm ranlib strip ld.lld lld gold", "-plugin --plugin"),
    options("rustc", "linker ar -Clinker -Zcodegen-backend"),
    options("make gmake", "-f- - --eval"),
    options("convert magick mogrify identify composite montage", "msl mvg ephemeral vid"),
    options("nix-env", "-i -iA --install -U -u --upgrade"),
    options("ctags", "--options --optlib-dir"),
    options("pytest", "-p --rootdir --override-ini"),
    options("gradle ./gradlew gradlew", "-I --init-script --include-build"),
    options("mvn ./mvnw", "-s --settings -gs --global-settings -Dmaven.ext.class.path"),
    options("sbt", "-Dsbt.repository.config -Dsbt.boot.directory -java-home"),
    options("tshark wireshark", "-X"),
    options("sphinx-build", "-c -C -D"),
    options("delta", "--pager --diff-command"),
    options("gs", "-dNOSAFER"),
    options("yarn", "--use-yarnrc"),
    options("npm pnpm", "--script-shell --shell-mode"),
    options("bundle", "--gemfile"),
    options("sftp", "-D -S"),
    options("zip", "--unzip-command"),
    options("ip", "-b -batch --batch"),
    options("node", "--inspect=0.0.0.0 --inspect-brk=0.0.0.0 --inspect=0"),
    options("node", "--experimental-policy --icu-data-dir --openssl-config"),
    options("fish", "-C --init-command"),
    options("rpm", "-E --eval --pipe --macros --define -D"),
    options("task go-task just", "--taskfile -t --justfile -f --shell"),
    options("air", "-c"),
    options("ninja", "-f"),
    options("scons doit nox tox invoke pre-commit", "-f --file -c --config --noxfile"),
    options("cmake", "-C -DCMAKE_TOOLCHAIN_FILE -DCMAKE_C_COMPILER_LAUNCHER"),
    options("meson", "--native-file --cross-file"),
    options("dotnet", "--add-source"),
    options("jupyter", "--ip --allow-root --NotebookApp.token"),
    options("code codium cursor windsurf", "--install-extension --add-mcp"),
    options("docker", "--restart"),
    options("jenkins-cli", "groovy"),
    options("systemctl", "-H --host --root"),
    options("xterm", "-display"),
];

/// Options that say in which directory, or with which project or packages, a tool works.
static PLACES: &[&str] = &[
    "-C",
    "-S",
    "--prefix",
    "--manifest-path",
    "--directory",
    "--project",
    "--find-links",
    "--cwd",
    "--dir",
    "--path",
    "-chdir",
];

/// Tools that run code of the project they work on.
static WORKERS: &[&str] = &[
    "cargo",
    "npm",
    "pnpm",
    "yarn",
    "make",
    "gmake",
    "cmake",
    "uv",
    "poetry",
    "go",
    "pip",
    "pip3",
    "terraform",
    "tofu",
    "ninja",
    "bun",
    "meson",
    "gem",
];

/// The word with which `tool` is told to run code from a directory that anyone can write.
pub(crate) fn strange_place<'w>(tool: &str, words: &[&'w str]) -> Option<&'w str> {
    let open = |path: &str| ["/tmp/", "/var/tmp/", "/dev/shm/"].iter().any(|place| path.starts_with(place));
    let apart = |two: &&[&str]| matches!(two, [option, path] if PLACES.contains(option) && open(path));
    let attached =
        |word: &&&str| word.split_once('=').is_some_and(|(option, path)| PLACES.contains(&option) && open(path));
    if !WORKERS.contains(&tool) {
        return None;
    }
    let place = words.windows(2).find(apart).and_then(|two| two.get(1)).or_else(|| words.iter().find(attached));
    place.copied()
}

const fn by_tool<const SLOTS: usize>(table: &[Options]) -> Index<SLOTS> {
    let mut index = Index::new();
    let (mut at, mut rows) = (0, table);
    while let [row, behind @ ..] = rows {
        index.add_words(row.tools, at);
        (at, rows) = (at + 1, behind);
    }
    index
}

static CODE_OPTIONS: Index<512> = by_tool(CODE);
static LOADING_OPTIONS: Index<512> = by_tool(LOADS);
static KIND_OF: Index<1024> = {
    let mut index = Index::new();
    let (mut at, mut rows) = (0, KINDS);
    while let [row, behind @ ..] = rows {
        index.add_words(row.tools, at);
        (at, rows) = (at + 1, behind);
    }
    index
};

fn names(tools: &str, tool: &str) -> bool {
    tools.split_ascii_whitespace().any(|name| name == tool)
}

/// What every use of `tool` does.
pub(crate) fn kind(tool: &str) -> Option<&'static str> {
    let kinds = KIND_OF.may_have(tool).filter_map(|(_, row)| KINDS.get(row));
    kinds.filter(|kind| names(kind.tools, tool)).last().map(|kind| kind.does)
}

/// The options of each row that speaks of `tool`.
fn options_of<const SLOTS: usize>(
    index: &'static Index<SLOTS>,
    table: &'static [Options],
    tool: &str,
) -> impl Iterator<Item = &'static str> {
    let rows = index.may_have(tool).filter_map(|(_, row)| table.get(row));
    rows.filter(move |row| names(row.tools, tool)).map(|row| row.options)
}

/// Whether `tool` is an interpreter, and one of `words` gives it code.
pub(crate) fn takes_code(tool: &str, words: &[&str]) -> Option<bool> {
    let mut rows = options_of(&CODE_OPTIONS, CODE, tool).peekable();
    rows.peek()?;
    Some(rows.any(|options| words.iter().any(|word| is_one(options, word))))
}

/// The word with which `tool` is told to load or run something.
pub(crate) fn loads<'w>(tool: &str, words: &[&'w str]) -> Option<&'w str> {
    let says = |word: &&str| options_of(&LOADING_OPTIONS, LOADS, tool).any(|options| is_one(options, word));
    words.iter().copied().find(says)
}

fn is_one(options: &str, word: &str) -> bool {
    options.split_ascii_whitespace().any(|option| is_option(option, word))
}

fn is_option(option: &str, word: &str) -> bool {
    match word.strip_prefix(option) {
        Some("") => true,
        Some(rest) => {
            rest.starts_with(['=', ':'])
                || option.len() == 2 && option.starts_with('-') && rest.contains(['/', '.', '('])
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_states_facts_and_no_tool_has_a_row() {
        for kind in KINDS {
            for text in kind.does.split_ascii_whitespace() {
                assert!(crate::commands::roles::fact(text).is_some(), "{text}");
            }
            for tool in kind.tools.split_ascii_whitespace() {
                assert!(crate::commands::find(tool).is_none(), "{tool} has a row, which counts");
            }
        }
    }

    #[test]
    fn options_attached_and_apart() {
        assert_eq!(takes_code("sbcl", &["--eval", "(x)"]), Some(true));
        assert_eq!(takes_code("sbcl", &["--version"]), Some(false));
        assert_eq!(takes_code("cat", &["-e"]), None);
        assert!(loads("pandoc", &["--filter=./x", "a.md"]).is_some() && loads("java", &["-javaagent:x.jar"]).is_some());
        assert!(loads("pandoc", &["-f", "markdown", "a.md"]).is_none() && loads("ninja", &["-v"]).is_none());
    }
}
