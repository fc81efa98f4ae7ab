//! What the reader of JavaScript takes, and what it must not.

use super::Facts;
use super::javascript::read;

#[test]
fn programs_that_only_compute() {
    for code in [
        "1+1",
        "console.log(1 + 1, 'a', `b ${2 * 3}`)",
        "console.log(process.version, process.versions.node, process.argv[2], process.argv.slice(2))",
        "[1,2,3].map(x => x * 2).filter(Boolean).join(',')",
        "const o = {a: 1, 'b': [2]}; for (const [k, v] of Object.entries(o)) console.log(k, v); o.a",
        "JSON.parse('{\"a\":1}').a",
        "JSON.stringify({a: 1}, null, 2)",
        "const f = (a, b = 2) => a + b; console.log(f(1))",
        "function g(x) { return x > 1 ? x * g(x - 1) : 1 } console.log(g(5))",
        "new Date().toISOString()",
        "Math.max(...[1, 2])",
        "require('crypto').createHash('sha256').update('x').digest('hex')",
        "const path = require('path'); path.join('a', 'b')",
        "require('os').cpus().length",
        "os.cpus().length",
        "Buffer.from('eA==', 'base64').toString()",
        "let s = 0; for (let i = 0; i < 3; i++) { s += i } console.log(s)",
        "'a-b'.replace(/-/g, '_').split(/_/)",
        "const c = {}; 'abca'.split('').forEach(x => { c[x] = (c[x] || 0) + 1 }); console.log(c)",
        "let d = ''; process.stdin.on('data', c => d += c).on('end', () => console.log(JSON.parse(d).x[0]))",
        "Object.keys({b: 1}).sort((a, b) => a.length - b.length)",
        "['1'].map(Number); ['{}'].map(JSON.parse)",
        "try { JSON.parse('x') } catch (e) { console.log(e.message) }",
        "const {a, b: [c]} = {a: 1, b: [2]}; console.log(a, c)",
        "new Set([1, 1]).size",
        "encodeURIComponent('a b')",
        "x => x",
        "const url = 'http://x/y'; console.log(url.split('/')[2])",
        "const path = ['a', 'b']; path.join('/')",
        "typeof 1; !0; void 0",
    ] {
        assert_eq!(read(code), Some(Facts::default()), "{code}");
    }
}

#[test]
fn files_and_variables() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let one = |code: &str| read(code).unwrap_or_default();
    assert_eq!(one("console.log(require('./package.json').version)").reads, names(&["./package.json"]));
    assert_eq!(one("const fs = require('fs'); fs.readFileSync('a', 'utf8').split('\\n').length").reads, names(&["a"]));
    assert_eq!(one("JSON.parse(require('node:fs').readFileSync(0)).x"), Facts::default());
    assert_eq!(one("fs.writeFileSync('b', JSON.stringify({}))").writes, names(&["b"]));
    assert_eq!(one("require('fs').unlinkSync('c')").deletes, names(&["c"]));
    assert_eq!(one("fs.rmSync('d', {recursive: true})").trees_deleted, names(&["d"]));
    assert_eq!(one("console.log(process.env.HOME)").variables, names(&["HOME"]));
}

#[test]
fn everything_else_is_opaque() {
    for code in [
        "require('child_process').execSync('id')",
        "require('node:child_process')",
        "const {execSync: join} = require('child_process'); join('id')",
        "const {join} = require('child_process')",
        "child_process.execSync('id')",
        "require('fs')",
        "require('./x')",
        "require('./x.js')",
        "require('x.json')",
        "require('./' + 'x.json')",
        "require(`./x.json`)",
        "process.binding('spawn_sync')",
        "process.mainModule.require('child_process')",
        "process['mainModule']",
        "process['bind' + 'ing']('fs')",
        "process.getBuiltinModule('child_process')",
        "process.kill(1)",
        "process.env",
        "console.log(process.env)",
        "process.env.PATH = '/tmp'",
        "process.stdout.constructor",
        "[].constructor.constructor('return 1')()",
        "[]['constructor']['constructor']('return 1')()",
        "[]['\\x63onstructor']",
        "[]['con' + 'structor']['con' + 'structor']('1')()",
        "[][`constructor`]",
        "const k = 'constructor'; [][k][k]('1')()",
        "const k = 'constructor'; const F = (x => x)[k]; ['1'].map(F)",
        "const k = 'constructor'; [(x => x)[k]]",
        "const k = 'constructor'; ['1'].map((x => x)[k])",
        "const k = 'constructor'; const g = x => x[k]; g",
        "const k = 'constructor'; console.log([1].map((x => x)[k] || 0))",
        "const {constructor} = []; constructor",
        "const {constructor: c} = []; c",
        "const {['constructor']: c} = []; c",
        "(({constructor: c}) => c('1'))(() => 0)",
        "[].map.call([], 1)",
        "(() => 0).bind(1)",
        "(() => 0).__proto__",
        "({}).__proto__.x = 1",
        "const o = {}; o.a.b = 1; o['__proto__']['x'] = 1",
        "const o = {__proto__: 1}",
        "Array.prototype.join = 1",
        "({get a() { return 1 }})",
        "class A { static { x() } }",
        "eval('1')",
        "new Function('1')()",
        "Function('1')()",
        "setTimeout('1')",
        "var eval; eval('1')",
        "{ const fs = 1 } fs.rmdirSync(x)",
        "if (0) { var path = 1 } path.constructor",
        "if (0) { var child_process = [] } child_process.fork('x')",
        "if (0) { var Function = () => 1 } Function('1')()",
        "if (0) { var require = () => 1 } require('child_process')",
        "const f = x => x; ((f) => f('1'))(1)",
        "let f = () => 1; f = 2; f()",
        "import('fs')",
        "import fs from 'fs'",
        "import.meta",
        "String.raw`x`",
        "(x => x)`y`",
        "console.log`x`",
        "with (process) kill(1)",
        "this.process",
        "globalThis.process.kill(1)",
        "global['process']",
        "module.require('child_process')",
        "module.constructor._load('child_process')",
        "(function () { return arguments.callee })()",
        "async () => await import('fs')",
        "fetch('http://x')",
        "Reflect.get([], 'constructor')",
        "Object.getOwnPropertyNames([])",
        "Object.getPrototypeOf([])",
        "Object.defineProperty({}, 'x', {})",
        "new Proxy({}, {})",
        "fs.readFileSync(x)",
        "fs.readFileSync('a', {flag: 'w'})",
        "fs.openSync('a', 'w')",
        "fs.constructor",
        "const g = fs.readFileSync; g('a')",
        "const fs = require('path'); fs.readFileSync('a')",
        "fs['readFileSync']('a')",
        "//\u{2028}process.kill(1)",
        "\\u0065val('1')",
        "x.\\u0063onstructor",
        "/'/.test(1);evil();/'/",
        "1 /x/ evil() /y/ 1; if (1) {} /'/; evil(); /'/",
        "<!-- x\nprocess.kill(1)",
        "#!/x\n1",
        "debugger",
        "try { x() } catch ({a = process.kill(1)}) {}",
        "const {a = process.kill(1)} = {}",
        "const [a = process.kill(1)] = []",
        "const {a: {b = process.kill(1)}} = {a: {}}",
        "((a = process.kill(1)) => a)()",
        "(({a = process.kill(1)}) => a)({})",
        "function f({a: [b = process.kill(1)]}) { } f({a: []})",
        "for (const {a = process.kill(1)} of [{}]) {}",
        "for (const [a = process.kill(1)] of [[]]) {}",
        "let a; [a = process.kill(1)] = []",
        "x: 1",
        "Symbol.toPrimitive",
        "super.x",
        "console.log(1",
        "process.stdout.on('data', x => x)",
        "process.stdin.on.call",
        "document.cookie",
    ] {
        assert_eq!(read(code), None, "{code}");
    }
    assert_eq!(read(&format!("const {}x{} = 1", "[".repeat(4000), "]".repeat(4000))), None);
    assert_eq!(read(&"(".repeat(5000)), None);
    assert_eq!(read(&format!("1{}", "+[".repeat(3000))), None);
}
