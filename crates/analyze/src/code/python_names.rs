//! Names of Python: what code may use. See `python.rs` for what keeps these lists short.

use super::walk::{Modules, Names, modules, words};
use std::sync::LazyLock;

/// Builtin functions and types that touch nothing outside of the process but its standard streams.
pub(super) static BUILTINS: Names = LazyLock::new(|| {
    words(
        "print len sum range sorted min max abs str int float repr round list tuple set dict bool ord chr hex bin \
         oct enumerate zip any all isinstance type reversed map filter bytes bytearray format divmod pow complex \
         frozenset iter next slice ascii hash id callable SystemExit exit quit Exception ValueError KeyError \
         IndexError TypeError FileNotFoundError ZeroDivisionError StopIteration KeyboardInterrupt OSError \
         ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError \
         BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError \
         ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning \
         EnvironmentError ExceptionGroup False FileExistsError FloatingPointError FutureWarning GeneratorExit \
         IOError ImportError ImportWarning IndentationError InterruptedError IsADirectoryError LookupError \
         MemoryError ModuleNotFoundError NameError None NotADirectoryError NotImplemented NotImplementedError \
         OverflowError PendingDeprecationWarning PermissionError ProcessLookupError PythonFinalizationError \
         RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration SyntaxError \
         SyntaxWarning SystemError TabError TimeoutError True UnboundLocalError UnicodeDecodeError \
         UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning Warning dir hasattr input \
         issubclass",
    )
});

/// The other builtins. A name that a program binds on one of its paths is the builtin on all others, so these may not be
/// bound.
pub(super) static OTHER_BUILTINS: Names = LazyLock::new(|| {
    words(
        "open __import__ aiter anext breakpoint classmethod compile copyright credits delattr eval exec getattr \
         globals help license locals memoryview object property setattr staticmethod super vars",
    )
});

/// Names of modules; `*`: every name of the module that does not start with an underscore, for modules that import no
/// others.
pub(super) static MODULES: Modules = LazyLock::new(|| {
    modules(&[
        (
            "sys",
            "version version_info platform argv maxsize executable prefix base_prefix path stdin stdout stderr \
            byteorder exit getsizeof getdefaultencoding implementation maxunicode float_info hexversion flags \
            getrecursionlimit stdlib_module_names builtin_module_names",
        ),
        ("math", "*"),
        ("cmath", "*"),
        ("statistics", "mean median mode stdev pstdev variance pvariance fmean quantiles"),
        ("itertools", "*"),
        ("string", "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits punctuation printable"),
        ("json", "load loads dumps dump JSONDecodeError"),
        (
            "re",
            "sub subn match search findall finditer split compile fullmatch escape I M S X IGNORECASE MULTILINE \
            DOTALL VERBOSE",
        ),
        (
            "os",
            "getcwd sep linesep pathsep cpu_count name getpid path listdir stat walk scandir environ getenv curdir pardir devnull",
        ),
        (
            "os.path",
            "join basename dirname splitext exists isfile isdir islink abspath realpath relpath normpath getsize \
            getmtime commonpath split sep",
        ),
        ("platform", "platform system machine python_version release version node processor uname"),
        ("datetime", "datetime date time timedelta timezone UTC"),
        ("time", "sleep time strftime gmtime localtime perf_counter monotonic mktime ctime"),
        ("collections", "Counter defaultdict OrderedDict deque namedtuple"),
        ("hashlib", "md5 sha1 sha224 sha256 sha384 sha512 blake2b blake2s"),
        ("base64", "b64encode b64decode b32encode b32decode b16encode b16decode urlsafe_b64encode urlsafe_b64decode"),
        ("urllib.parse", "quote unquote quote_plus unquote_plus urlparse urlencode parse_qs urljoin urlsplit"),
        ("textwrap", "dedent indent fill wrap shorten"),
        ("random", "random randint choice shuffle sample seed uniform randrange"),
        ("secrets", "token_hex token_urlsafe token_bytes randbelow choice"),
        ("uuid", "uuid4 uuid5 UUID NAMESPACE_DNS NAMESPACE_URL"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
        ("functools", "reduce partial"),
        ("csv", "reader DictReader"),
        ("pprint", "pprint pformat"),
        ("unicodedata", "name category normalize lookup"),
        ("calendar", "month calendar isleap monthrange weekday timegm"),
        ("locale", "getlocale getpreferredencoding"),
        ("sysconfig", "get_path get_paths get_platform get_python_version get_config_var"),
        ("site", "getsitepackages getusersitepackages"),
        ("ast", "parse dump literal_eval"),
        ("struct", "pack unpack calcsize"),
        ("binascii", "hexlify unhexlify crc32"),
        ("shlex", "split quote join"),
        ("tomllib", "load loads TOMLDecodeError"),
        ("pathlib", "PurePath PurePosixPath"),
        ("pathlib.Path", ""),
        ("glob", "glob iglob escape"),
        ("heapq", "heappush heappop heapify nlargest nsmallest merge"),
        ("bisect", "bisect bisect_left bisect_right insort"),
        ("operator", "itemgetter add sub mul eq ne lt gt le ge"),
        ("html", "escape unescape"),
        ("ipaddress", "ip_address ip_network IPv4Address IPv6Address IPv4Network"),
        ("zlib", "crc32 adler32 compress decompress"),
        ("copy", "copy deepcopy"),
        ("keyword", "kwlist iskeyword"),
        ("importlib.metadata", "version"),
        ("difflib", "unified_diff ndiff SequenceMatcher get_close_matches"),
    ])
});

/// Modules that are loaded before the working directory can be searched: built into every CPython (Setup.bootstrap), or
/// imported by its own start.
pub(super) static EARLY: &[&str] = &["sys", "time", "itertools", "os", "os.path", "site"];

/// Methods and attributes of the values these functions give: strings, numbers, containers, matches, times, hashes, files.
pub(super) static MEMBERS: Names = LazyLock::new(|| {
    words(
        "join split rsplit strip lstrip rstrip upper lower title capitalize swapcase casefold replace startswith \
         endswith find rfind index rindex count format zfill center ljust rjust isdigit isalpha isalnum isspace \
         isupper islower isnumeric isidentifier splitlines partition rpartition encode decode removeprefix \
         removesuffix translate expandtabs hex append extend insert pop remove sort reverse clear copy keys values \
         items get setdefault update popitem add discard union intersection difference symmetric_difference issubset \
         issuperset most_common elements total appendleft popleft rotate read readline readlines write writelines \
         close flush isatty seek tell group groups groupdict start end span sub match search findall finditer \
         fullmatch pattern hexdigest digest isoformat strftime strptime timestamp now utcnow today fromtimestamp \
         fromisoformat date time year month day hour minute second weekday isoweekday total_seconds days seconds utc \
         real imag conjugate bit_length to_bytes from_bytes fromhex is_integer numerator denominator \
         as_integer_ratio major minor micro releaselevel serial maxsize name cache_tag scheme netloc query fragment \
         hostname port geturl fromkeys fieldnames line_num ratio machine system release node buffer int bytes urn \
         quantize args lineno colno msg stem suffix suffixes parent parts as_posix exists is_file is_dir",
    )
});

/// Nodes that are harmless when all in them is.
pub(super) static PLAIN: Names = LazyLock::new(|| {
    words(
        "module expression_statement block if_statement elif_clause else_clause while_statement pass_statement \
         break_statement continue_statement assert_statement try_statement except_clause finally_clause \
         return_statement with_statement with_clause with_item binary_operator unary_operator boolean_operator \
         not_operator comparison_operator conditional_expression parenthesized_expression tuple list dictionary pair \
         set subscript slice string concatenated_string string_start string_content string_end escape_sequence \
         escape_interpolation interpolation format_specifier format_expression type_conversion integer float true \
         false none argument_list expression_list pattern_list tuple_pattern list_splat list_splat_pattern \
         dictionary_splat augmented_assignment raise_statement ellipsis list_comprehension dictionary_comprehension \
         set_comprehension generator_expression if_clause lambda yield as_pattern as_pattern_target",
    )
});

/// Top-level names of the standard library, CPython 3.8 to 3.13: what importing a part of it may import in turn.
pub(crate) static LIBRARY: Names = LazyLock::new(|| {
    words(
        "__future__ _abc _aix_support _android_support _apple_support _ast _ast_unparse _asyncio _bisect _blake2 \
         _bootlocale _bootsubprocess _bz2 _codecs _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr \
         _codecs_tw _collections _collections_abc _colorize _compat_pickle _compression _contextvars _crypt _csv \
         _ctypes _curses _curses_panel _datetime _dbm _decimal _elementtree _frozen_importlib \
         _frozen_importlib_external _functools _gdbm _hashlib _heapq _hmac _imp _interpchannels _interpqueues \
         _interpreters _io _ios_support _json _locale _lsprof _lzma _markupbase _md5 _msi _multibytecodec \
         _multiprocessing _opcode _opcode_metadata _operator _osx_support _overlapped _pickle _posixshmem \
         _posixsubprocess _py_abc _pydecimal _pyio _pylong _pyrepl _queue _random _remote_debugging _scproxy _sha1 \
         _sha256 _sha3 _sha512 _signal _sitebuiltins _socket _sqlite3 _sre _ssl _stat _statistics _string _strptime \
         _struct _suggestions _symtable _sysconfig _testclinic _thread _threading_local _tkinter _tokenize \
         _tracemalloc _types _typing _uuid _warnings _weakref _weakrefset _winapi _zoneinfo _zstd abc aifc \
         annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii \
         binhex bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections \
         colorsys compileall compression concurrent configparser contextlib contextvars copy copyreg crypt csv \
         ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest dummy_threading email \
         encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch formatter fractions ftplib \
         functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib \
         imaplib imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging \
         lzma macpath mailbox mailcap marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc \
         nis nntplib nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev parser pathlib pdb pickle \
         pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile \
         pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched \
         secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd \
         sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess sunau \
         symbol symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading \
         time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing \
         unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib \
         xml xmlrpc zipapp zipfile zipimport zlib zoneinfo",
    )
});
