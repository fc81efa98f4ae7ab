//! Names of JavaScript in node and deno: what code may use. See `javascript.rs` for the rules.

use super::walk::{Modules, Names, modules, words};
use std::sync::LazyLock;

/// Functions of the global object that only compute.
pub(super) static FUNCTIONS: Names = LazyLock::new(|| {
    words(
        "parseInt parseFloat isNaN isFinite Number String Boolean BigInt Date Array encodeURIComponent \
         decodeURIComponent encodeURI decodeURI escape unescape btoa atob structuredClone Error TypeError RangeError",
    )
});

/// What may stand behind `new`.
pub(super) static CONSTRUCTORS: Names = LazyLock::new(|| {
    words("Date Set Map Array RegExp Error TypeError RangeError URL URLSearchParams Uint8Array TextDecoder TextEncoder")
});

/// Values of the global object.
pub(super) static VALUES: Names = LazyLock::new(|| words("undefined NaN Infinity"));

/// Global objects with the functions of each that only compute or print.
pub(super) static OBJECTS: Modules = LazyLock::new(|| {
    modules(&[
        ("console", "log error info warn debug table dir time timeEnd group groupEnd count"),
        (
            "Math",
            "abs acos asin atan atan2 cbrt ceil clz32 cos cosh exp expm1 floor fround hypot imul log log10 log1p log2 max \
             min pow random round sign sin sinh sqrt tan tanh trunc",
        ),
        ("JSON", "parse stringify"),
        ("Object", "keys values entries fromEntries freeze is hasOwn"),
        ("Number", "isInteger isFinite isNaN isSafeInteger parseInt parseFloat"),
        ("Array", "from isArray of"),
        ("String", "fromCharCode fromCodePoint"),
        ("Date", "now UTC parse"),
        ("Buffer", "from alloc byteLength concat isBuffer"),
        ("performance", "now"),
        ("BigInt", "asIntN asUintN"),
        ("process", "cwd uptime memoryUsage hrtime exit"),
    ])
});

/// Global objects and modules with the values of each that say something and do nothing.
pub(super) static CONSTANTS: Modules = LazyLock::new(|| {
    modules(&[
        ("Math", "PI E LN2 LN10 LOG2E LOG10E SQRT2 SQRT1_2"),
        ("Number", "MAX_SAFE_INTEGER MIN_SAFE_INTEGER MAX_VALUE MIN_VALUE EPSILON"),
        ("process", "version versions platform arch argv pid ppid execPath title release exitCode"),
        ("Deno", "version build"),
        ("path", "sep delimiter"),
        ("os", "EOL"),
        ("module", "builtinModules"),
    ])
});

/// Modules of node that may be required, with the functions of each that only compute. A file in the project cannot stand
/// in for them: the built-in ones win.
pub(super) static MODULES: Modules = LazyLock::new(|| {
    modules(&[
        ("fs", ""),
        ("path", "join resolve basename dirname extname relative normalize parse isAbsolute"),
        (
            "os",
            "cpus totalmem freemem platform arch release type hostname homedir tmpdir uptime loadavg endianness version \
             machine availableParallelism",
        ),
        ("util", "inspect format isDeepStrictEqual"),
        ("url", "parse format fileURLToPath pathToFileURL"),
        ("querystring", "parse stringify escape unescape"),
        ("crypto", "createHash createHmac randomBytes randomUUID randomInt getHashes"),
        ("module", ""),
    ])
});

/// Functions of `fs` whose first argument names what they do it to.
pub(super) static FS_READS: Names = LazyLock::new(|| words("readFileSync existsSync statSync lstatSync readdirSync"));
pub(super) static FS_WRITES: Names = LazyLock::new(|| words("writeFileSync appendFileSync mkdirSync"));
pub(super) static FS_DELETES: Names = LazyLock::new(|| words("unlinkSync rmdirSync"));

/// Methods of the values that all these give: strings, numbers, arrays, maps, dates, hashes, buffers.
pub(super) static METHODS: Names = LazyLock::new(|| {
    words(
        "at charAt charCodeAt codePointAt concat endsWith includes indexOf lastIndexOf localeCompare match matchAll \
         normalize padEnd padStart repeat replace replaceAll search slice split startsWith substring substr toLowerCase \
         toUpperCase toLocaleLowerCase toLocaleUpperCase trim trimEnd trimStart toString toFixed toPrecision \
         toExponential toLocaleString valueOf copyWithin entries every fill filter find findIndex findLast \
         findLastIndex flat flatMap forEach join keys map pop push reduce reduceRight reverse shift some sort splice \
         unshift values with toSorted toReversed toSpliced get set has add delete clear getTime getFullYear getMonth \
         getDate getDay getHours getMinutes getSeconds getMilliseconds getTimezoneOffset getUTCFullYear getUTCMonth \
         getUTCDate getUTCDay getUTCHours getUTCMinutes getUTCSeconds setDate setMonth setFullYear setHours setMinutes \
         setSeconds setTime toISOString toDateString toTimeString toLocaleDateString toLocaleTimeString toUTCString \
         toJSON update digest test exec decode encode readUInt8 readUInt16BE readUInt16LE readUInt32BE readUInt32LE \
         equals isFile isDirectory isSymbolicLink union intersection difference hasOwnProperty",
    )
});

/// Names that lead from a value to what made it, and from there to everything.
pub(super) static LEADS_AWAY: Names = LazyLock::new(|| {
    words("constructor prototype caller callee arguments call apply bind mainModule binding getBuiltinModule")
});

/// Names of the global object, of a script that node is given, and of its modules there: one that a program only
/// sometimes gives a meaning keeps its own.
pub(super) static GLOBALS: Names = LazyLock::new(|| {
    words(
        "Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol Date Promise RegExp \
         Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError globalThis JSON Math \
         Intl ArrayBuffer DataView Map BigInt Set WeakMap WeakSet Proxy Reflect FinalizationRegistry WeakRef decodeURI \
         decodeURIComponent encodeURI encodeURIComponent escape unescape eval isFinite isNaN console process global \
         Buffer clearImmediate setImmediate clearInterval clearTimeout setInterval setTimeout queueMicrotask \
         structuredClone atob btoa performance fetch WebAssembly crypto Worker Atomics SharedArrayBuffer Iterator \
         AsyncFunction GeneratorFunction Bun Deno window self frames document navigator localStorage sessionStorage \
         WebSocket EventSource prompt alert confirm assert async_hooks child_process cluster constants dgram \
         diagnostics_channel dns domain http http2 https inspector net os perf_hooks punycode querystring readline \
         repl stream string_decoder sys timers tls trace_events tty util v8 vm wasi worker_threads zlib test sqlite sea \
         __filename module exports __dirname require arguments import this super async await yield of let static",
    )
});

/// Nodes that are harmless when all in them is.
pub(super) static PLAIN: Names = LazyLock::new(|| {
    words(
        "program expression_statement variable_declaration lexical_declaration statement_block if_statement else_clause \
         while_statement do_statement for_statement break_statement continue_statement return_statement try_statement \
         finally_clause throw_statement empty_statement switch_statement switch_body switch_case switch_default \
         binary_expression ternary_expression parenthesized_expression sequence_expression array object \
         spread_element string string_fragment escape_sequence template_string template_substitution number true \
         false null undefined regex_pattern regex_flags optional_chain arguments",
    )
});
