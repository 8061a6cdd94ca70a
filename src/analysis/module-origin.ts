// Where a module comes from: the program itself, an installed library, or Python's standard library. Decided from its
// `__file__`, and without one from its name.
// Source of the names: sys.stdlib_module_names of 3.10 to 3.13, and of 3.8, 3.9, 3.14 and 3.15 what differs.

import { EdgeKind, findPreview, type HeapGraph, type NodeIndex } from '../graph/heap-graph.ts';
import { findKeyText } from './names.ts';

export type ModuleOrigin = 'application' | 'library' | 'standard';

/** How many entries of a module's dict are looked at for `__file__`, which stands among the first. */
const MAX_ENTRIES = 32;

/** `module` is the module object or its dict, `name` its key in `sys.modules`. */
export function findModuleOrigin(graph: HeapGraph, module: NodeIndex, name: string): ModuleOrigin {
  if (STANDARD_MODULES.has(topLevelOf(name))) return 'standard';
  const file = findModuleFile(graph, module);
  if (file === undefined) return 'application';
  if (/\/(site|dist)-packages\//.test(file)) return 'library';
  if (/<frozen |\/lib\/python3\.\d+\//.test(file)) return 'standard';
  return 'application';
}

/** Whether a name like `asyncio.tasks.Task` or `dict` belongs to Python itself. */
export const isStandardName = (qualifiedName: string): boolean =>
  !qualifiedName.includes('.') || STANDARD_MODULES.has(topLevelOf(qualifiedName));

function topLevelOf(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? name : name.slice(0, dot);
}

/** The preview of `__file__`: its quotes, and if it was long its end, may be missing. */
const findModuleFile = (graph: HeapGraph, module: NodeIndex): string | undefined =>
  findModuleEntry(graph, module, '__file__', MAX_ENTRIES);

/** The preview of an entry of a module (given itself or by its dict) among its first `limit` ones. */
export function findModuleEntry(
  graph: HeapGraph,
  module: NodeIndex,
  name: string,
  limit: number,
): string | undefined {
  let dict = module;
  for (let edge = graph.firstEdge[module]; edge < graph.firstEdge[module + 1]; edge++) {
    if (graph.edgeKind[edge] === EdgeKind.instanceDict) dict = graph.edgeTarget[edge];
  }
  const first = graph.firstEdge[dict];
  const end = Math.min(graph.firstEdge[dict + 1], first + 2 * limit);
  for (let edge = first; edge < end; edge++) {
    if (findKeyText(graph, edge) === name) return findPreview(graph, graph.edgeTarget[edge]);
  }
  return undefined;
}

const STANDARD_MODULES = new Set(
  `
  __future__ _abc _aix_support _android_support _ast _asyncio _bisect _blake2 _bootlocale
  _bootsubprocess _bz2 _codecs _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr
  _codecs_tw _collections _collections_abc _colorize _compat_pickle _compression _contextvars
  _crypt _csv _ctypes _curses _curses_panel _datetime _dbm _decimal _dummy_thread _elementtree
  _frozen_importlib _frozen_importlib_external _functools _gdbm _hashlib _heapq _hmac _imp
  _interpchannels _interpqueues _interpreters _io _ios_support _json _locale _lsprof _lzma
  _markupbase _md5 _msi _multibytecodec _multiprocessing _opcode _opcode_metadata _operator
  _osx_support _overlapped _pickle _posixshmem _posixsubprocess _py_abc _pydatetime _pydecimal
  _pyio _pylong _pyrepl _queue _random _remote_debugging _scproxy _sha1 _sha2 _sha256 _sha3
  _sha512 _signal _sitebuiltins _socket _sqlite3 _sre _ssl _stat _statistics _string _strptime
  _struct _suggestions _symtable _sysconfig _sysconfigdata _thread _threading_local _tkinter
  _tokenize _tracemalloc _typing _uuid _warnings _weakref _weakrefset _winapi _wmi _zoneinfo
  _zstd abc aifc annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit
  audioop base64 bdb binascii binhex bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath
  cmd code codecs codeop collections colorsys compileall compression concurrent configparser
  contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal
  difflib dis distutils doctest dummy_threading email encodings ensurepip enum errno
  faulthandler fcntl filecmp fileinput fnmatch formatter fractions ftplib functools gc
  genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib
  imaplib imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache
  locale logging lzma mailbox mailcap marshal math mimetypes mmap modulefinder msilib msvcrt
  multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode operator optparse os
  ossaudiodev parser pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix
  posixpath pprint profile profiling pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat
  queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select
  selectors shelve shlex shutil signal site sitecustomize smtpd smtplib sndhdr socket
  socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string
  stringprep struct subprocess sunau symbol symtable sys sysconfig syslog tabnanny tarfile
  telnetlib tempfile termios textwrap this threading time timeit tkinter token tokenize tomllib
  trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib
  usercustomize uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml
  xmlrpc zipapp zipfile zipimport zlib zoneinfo
`
    .trim()
    .split(/\s+/),
);
