//! What the reader of Python takes, and what it must not.

use super::Facts;

fn files(reads: &[&str], writes: &[&str]) -> Option<Facts> {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Some(Facts { reads: all(reads), writes: all(writes), ..Facts::default() })
}

/// What a program does, but for what it imports.
fn read(code: &str) -> Option<Facts> {
    super::python::read(code).map(|facts| Facts { imports: Vec::new(), ..facts })
}

#[test]
fn programs_that_only_compute() {
    for code in [
        "print(1)",
        "import sys; print(sys.version)",
        "import sys,json; d=json.load(sys.stdin); print(d['a'][0])",
        "import json,sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print(r.get('name'), len(r))\n",
        "print(sum(int(x) for x in '1 2 3'.split()))",
        "print(f'{1 + 1:>5} {[x for x in range(3)]!r}')",
        "import os.path; print(os.path.join('a', 'b'))",
        "import os; print(os.getcwd(), os.path.exists('x'))",
        "from collections import Counter\nprint(Counter('abca').most_common(2))",
        "import platform; print(platform.system())",
        "import re,sys\nprint(re.sub(r'a+', lambda m: m.group(0).upper(), sys.stdin.read()))",
        "def f(n, k=2):\n    return n * k\nprint(f(3))",
        "x = [1, 2]; x[0] += 3; a, *b = x; print(sorted(x, key=lambda v: -v))",
        "import datetime; print(datetime.datetime.now().isoformat())",
        "import sys; print('x', file=sys.stderr); sys.stdout.write('y')",
        "import hashlib; print(hashlib.sha256(b'x').hexdigest())",
        "try:\n    print(1)\nexcept ValueError as e:\n    print(e)\n",
        "print('é ü 日本')",
        "import sys; print(sys.path); print('\\n'.join(sys.path))",
    ] {
        assert_eq!(read(code), files(&[], &[]), "{code}");
    }
}

#[test]
fn modules_that_a_file_here_could_stand_in_for() {
    let imports = |code: &str| super::python::read(code).unwrap().imports;
    assert_eq!(imports("import json, sys; import os.path, time"), ["json"]);
    assert_eq!(imports("from urllib.parse import quote\nimport re as r"), ["urllib", "re"]);
    assert!(imports("print(1)").is_empty());
}

#[test]
fn variables_of_the_environment() {
    let variables = |code: &str| super::python::read(code).unwrap().variables;
    assert_eq!(
        variables("import os; print(os.environ['A'], os.environ.get('B', 'x'), os.getenv('C'))"),
        ["A", "B", "C"]
    );
}

#[test]
fn files_with_constant_names() {
    assert_eq!(read("import json; print(json.load(open('a.json'))['v'])"), files(&["a.json"], &[]));
    assert_eq!(read("with open('a', encoding='utf-8') as f:\n    print(f.read())"), files(&["a"], &[]));
    assert_eq!(read("open('out.txt', 'w').write('hi')"), files(&[], &["out.txt"]));
    assert_eq!(read("s = open('a').read(); open('a', mode='w').write(s.replace('x', 'y'))"), files(&["a"], &["a"]));
    for code in
        ["open(x)", "open('a' + 'b')", "open(f'{1}')", "open('\\x61')", "open(*['a'])", "open('a', opener=f)", "open()"]
    {
        assert_eq!(read(code), None, "{code}");
    }
}

#[test]
fn everything_else_is_opaque() {
    for code in [
        "import os; os.remove('x')",
        "import os; os.system('id')",
        "import os as json; json.system('id')",
        "import sys as json; import json; json.load",
        "exec('1')",
        "eval('1')",
        "print(__import__('os'))",
        "getattr(sys, 'x')",
        "from os import system",
        "from os import *",
        "from math import *",
        "import subprocess; subprocess.run(['id'])",
        "import sys; sys.modules['os'].system('id')",
        "import sys; sys.stdout = open('/home/u/.bashrc', 'w')",
        "import sys; sys.path.append('/tmp'); import x",
        "().__class__.__base__.__subclasses__()",
        "print.__self__.exec('1')",
        "o = open; o('x', 'w')",
        "open = print; open('x')",
        "print = open; print('x', 'w')",
        "def open(x): pass",
        "import json; json.codecs.open('x', 'w')",
        "import os; p = os.path; p.os.system('id')",
        "import os; os.path.os.system('id')",
        "class A:\n    def __del__(self): pass",
        "@exec\ndef f(): pass",
        "x: exec('1') = 2",
        "def f(x: exec('1')): pass",
        "f'{exec(1)}'",
        "print(1)\rimport os\ros.system('id')",
        "# coding: utf-7\nprint(1)",
        "#!x\n # vim: fileencoding=utf-7\nprint(1)",
        "ｅｘｅｃ('1')",
        "exec 'id'",
        "print `1`",
        "match x:\n    case exec('1'): pass",
        "del x",
        "global x",
        "import(os)",
        "print(1",
        "globals()['x']",
        "[].append.__self__",
        "import socket",
        "from . import x",
        "with open('x') as sys.stdout: pass",
        "import sys; sys.path.insert(0, '/tmp')\nimport json",
        "import sys; sys.path[0] = '/tmp'\nimport json",
        "import sys; p = sys.path; p.insert(0, '/tmp')",
        "import sys\ndef print(x): x.append('/tmp')\nprint(sys.path)",
        "import statistics; statistics.sys",
        "import string; string._re",
        "for sys.stdout in [1]: pass",
        "import urllib.parse; urllib.request.urlopen('x')",
        "[x for x.y in z]",
        "lambda: exec('1')",
        "for x[exec('1')] in []: pass",
        "with open('a') as x[exec('1')]: pass",
        "try: 1\nexcept exec('1'): pass",
        "def f(a=exec('1')): pass",
        "def f(*, a=exec('1')): pass",
        "x[exec('1')] += 1",
        "a, x[exec('1')] = 1, 2",
        "assert 1, exec('1')",
        "raise Exception from exec('1')",
        "[x for x in [1] if exec('1')]",
        "print(**exec('1'))",
        "f'{1:{exec(1)}}'",
        // The builtin is meant wherever the name was not bound.
        "for exec in []: pass\nexec('1')",
        "if 0: eval = 1\neval('1')",
        "if 0:\n    def compile(x): pass\ncompile('1', '', 'exec')",
        "if 0:\n    from math import sqrt as exec\nexec('1')",
        "try:\n    1/0\n    getattr = 1\nexcept ZeroDivisionError:\n    getattr(1, 'x')",
        "ｊｓｏｎ = 1",
        "x = '{0.__class__}'; print(x.format(1))",
        "print('{0.__class__}'.format(1))",
        "import os; print(os.environ)",
        "import os; os.environ['PATH'] = '/tmp'",
        "import os; print(os.getenv(x))",
        "import os; os.listdir(x)",
        "from os import environ",
        "from os import getenv as g",
        "(lambda x=exec('1'): 0)()",
    ] {
        assert_eq!(read(code), None, "{code}");
    }
    assert_eq!(read(&format!("{}x{} = 1", "[".repeat(4000), "]".repeat(4000))), None);
    assert_eq!(read(&"(".repeat(5000)), None);
    assert_eq!(read(&format!("x = {}1{}", "(".repeat(300), ")".repeat(300))), None);
}

#[test]
fn a_name_bound_once_is_the_text_it_stands_for() {
    let facts = read("p = 'a.py'\ns = open(p).read()\nopen(p, 'w').write(s.replace('x', 'y'))").unwrap();
    assert_eq!((facts.reads, facts.writes), (vec!["a.py".to_owned()], vec!["a.py".to_owned()]));
    for twice in [
        "p = 'a'\np = 'b'\nopen(p)",
        "p = 'a'\np += '/b'\nopen(p)",
        "p = 'a'\nfor p in ['b']:\n    open(p)",
        "p = 'a'\ndef f(p):\n    open(p)",
        "p = 'a'\nprint([open(p) for p in ['b']])",
        "p = 'a'\n(p := 'b')\nopen(p)",
        "p, q = 'a', 'b'\nopen(p)",
        "from os import sep as p\np = 'a'\nopen(p)",
        "p = 'a'\nfrom os import sep as p\nopen(p)",
    ] {
        assert!(read(twice).is_none(), "{twice}");
    }
}

#[test]
fn paths_read_and_write_what_they_name() {
    let facts = read("from pathlib import Path\np = Path('d') / 'a.rs'\nt = p.read_text()\np.write_text(t)").unwrap();
    assert_eq!((facts.reads, facts.writes), (vec!["d/a.rs".to_owned()], vec!["d/a.rs".to_owned()]));
    assert!(read("import pathlib\nprint([p.name for p in pathlib.Path('.').rglob('*.py')])").is_some());
    for other in [
        "from pathlib import Path\nPath('a').replace('b')",
        "from pathlib import Path\nPath('a').unlink()",
        "from pathlib import Path\nPath('a').rename('b')",
        "from pathlib import Path\nfor p in Path('.').glob('*'):\n    p.write_text('x')",
        "from pathlib import Path\nprint(Path(input()).read_text())",
        "from pathlib import Path\nPath = open\nPath('a')",
    ] {
        assert!(read(other).is_none(), "{other}");
    }
}

#[test]
fn what_a_stranger_says_of_itself_may_be_looked_at() {
    let facts = read("import numpy as np\nprint(np.__version__)").unwrap();
    assert_eq!(facts.modules, ["numpy"]);
    assert_eq!(read("from app import main\nprint('ok')").unwrap().modules, ["app"]);
    for other in [
        "import requests\nrequests.get('http://x.example')",
        "import requests as r\nr.__dict__",
        "from app import main\nmain()",
        "from app import *",
        "import subprocess\nprint(subprocess.__file__)",
        "import a.b\na.b.c",
        "import numpy\nnumpy = 1",
    ] {
        assert!(read(other).is_none(), "{other}");
    }
}
