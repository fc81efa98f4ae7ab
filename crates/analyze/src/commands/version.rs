//! Programs that no other table knows, and the words with which they only tell their version.

/// Programs, and what each of them takes as its only argument to print its version or its help and end. Only programs
/// that do so by themselves: none that runs code of the project first, as build tools with plugins do.
static TELLS: &[(&str, &[&str])] = &[
    // Agents and editors.
    ("aider codex claude gemini opencode goose cursor-agent code codium cursor subl zed hx helix micro kak", LONG),
    ("joe mcedit gedit kate", LONG),
    // Languages and compilers.
    ("zig nim crystal v odin gleam rebar3 idris2 agda lean elan opam ocaml ocamlc dune esy purs elm", LONG),
    ("zig crystal gleam", &["version"]),
    ("kotlinc kotlin scala scalac", &["-version"]),
    (
        "kotlin swiftc fpc dmd ldc2 gdc gfortran nasm yasm clang-cl gcc-12 gcc-13 clang-15 clang-16 lld mold wasmtime",
        LONG,
    ),
    ("wasmer wasm-pack emcc node-gyp ts-node tsx esno swc babel sass less stylus coffee pug handlebars", LONG),
    ("erlc rustfilt bindgen cbindgen flutter dart dart2js pub R Rscript julia octave ghcup cabal sbcl clisp", LONG),
    ("typst tectonic latexmk pdflatex xelatex lualatex pandoc asciidoctor hugo jekyll zola mdbook mkdocs", LONG),
    ("hugo", &["version"]),
    // Media and documents.
    ("ffmpeg ffprobe convert magick identify mogrify composite montage", &["-version"]),
    ("gs inkscape dot exiftool tesseract qpdf img2pdf yt-dlp youtube-dl sox opusenc cwebp pngquant optipng", LONG),
    ("exiftool", &["-ver"]),
    // Services, clouds, containers.
    ("ansible ansible-playbook ansible-galaxy packer vagrant consul nomad vault minikube kind k3d k9s kustomize", LONG),
    ("packer consul nomad minikube kind k3d kustomize argocd istioctl eksctl flux", &["version"]),
    (
        "skaffold tilt nerdctl buildah skopeo crictl ctr containerd runc lima colima vercel netlify wrangler serverless",
        LONG,
    ),
    ("firebase supabase heroku fly flyctl doctl eb sam cdk pulumi terragrunt tflint trivy grype syft cosign", LONG),
    ("skaffold pulumi fly flyctl doctl helm", &["version"]),
    ("nginx apache2 httpd caddy haproxy", &["-v", "-V"]),
    ("caddy", &["version"]),
    (
        "mongod mongosh mysqld postgres pg_ctl pg_isready redis-server memcached influx clickhouse etcd kafka-topics.sh",
        LONG,
    ),
    // Tools of developers.
    ("buf protoc grpcurl httpie http hey wrk ab k6 vegeta jmeter postman newman delta difft lazygit tig gitui", LONG),
    ("git-cliff git-absorb gitleaks trufflehog semgrep snyk codeql sonar-scanner dependabot renovate act nox", LONG),
    ("direnv starship zoxide atuin fzf bat eza exa lsd fd fdfind sd choose dust duf procs btm bottom htop btop", LONG),
    ("direnv act gopls", &["version"]),
    ("gopls dlv goreleaser air mage wire mockgen stringer sqlc migrate goose atlas dbmate flyway liquibase", LONG),
    ("cargo-nextest cargo-audit cargo-deny cargo-make cargo-watch cross sccache ccache distcc bear cppcheck", LONG),
    ("pre-commit commitlint husky lefthook cz bump2version twine flit pdm hatch rye pixi pipx virtualenv", LONG),
    ("jupyter ipython notebook streamlit flask uvicorn gunicorn celery alembic sqlfluff pgcli mycli litecli", LONG),
    (
        "lerna nx turbo rush gulp grunt parcel rollup vite webpack tsup ncc pkg ncu npm-check-updates corepack volta",
        LONG,
    ),
    ("fnm n nodenv rbenv jenv goenv tfenv sdk vagrant VBoxManage qemu-system-x86_64 virsh adb fastboot", LONG),
    ("adb", &["version"]),
    ("tmux screen zellij kitty alacritty wezterm fish nu xonsh elvish ksh mksh tcsh", LONG),
    ("tmux screen", &["-V", "-v"]),
    ("jj hg svn bzr fossil cvs darcs pijul sl", LONG),
];

const LONG: &[&str] = &["--version", "-V", "--help"];

/// Whether `program` with these words only tells its version or help.
pub(crate) fn tells(program: &str, words: &[&str]) -> bool {
    let [only] = words else { return false };
    TELLS.iter().any(|(programs, takes)| takes.contains(only) && programs.split(' ').any(|known| known == program))
}

#[cfg(test)]
mod tests {
    use super::tells;

    #[test]
    fn only_a_lone_question_is_one() {
        assert!(tells("claude", &["--version"]) && tells("zig", &["version"]));
        assert!(!tells("claude", &["--version", "x"]) && !tells("claude", &[]));
        assert!(!tells("claude", &["version"]) && !tells("nobody-knows", &["--version"]));
    }
}
