// The C structs whose layouts `npm run layouts` writes to layouts/, by the C file or extension module that defines them.
// A name is a typedef or a struct tag; `name = other` looks `other` up as well where a version calls it differently, and
// writes it under the first name. A struct that a version lacks is left out of that version's file.
// Source of truth for the names: CPython 3.8-3.15.

export interface StructGroup {
  /** Extension module whose shared library has the debug information, unless it is built into the interpreter. */
  module?: string;
  /** End of the path of the C file that is meant where two files define different structs of one name. */
  file?: string;
  names: string;
}

export const structGroups: readonly StructGroup[] = [
  // The runtime
  {
    names: `_PyRuntimeState PyInterpreterState PyThreadState _PyThreadStateImpl _gc_runtime_state gc_generation
      gc_generation_stats gc_stats _PyCFrame=CFrame _PyStackChunk _PyErr_StackItem _Py_DebugOffsets
      _PyRemoteDebuggerSupport _ceval_state=_ceval_runtime_state _pending_calls _pending_call
      _gil_runtime_state _import_state types_state type_cache type_cache_entry static_builtin_state
      managed_static_type_state llist_node PyCodeObjectExtra=_PyCodeObjectExtra _PyTraceMalloc_Config
      PyMemAllocatorEx atexit_state atexit_py_callback atexit_callback PyConfig _PyExecutorObject
      _PyCoMonitoringData _PyCoLineInstrumentationData`,
  },
  // pymalloc, mimalloc, tracemalloc
  {
    names: `arena_object pool_header _obmalloc_state _obmalloc_mgmt=_obmalloc_mgmt_state _obmalloc_usage arena_map_top
      arena_map_mid arena_map_bot arena_coverage_t _Py_hashtable_t _Py_hashtable_entry_t _Py_slist_t _Py_slist_item_t
      mi_page_s mi_heap_s mi_segment_s`,
  },
  {
    file: 'tracemalloc.c',
    names: 'traceback_t=tracemalloc_traceback frame_t=tracemalloc_frame trace_t',
  },
  // Headers and the core types
  {
    names: `PyObject PyVarObject PyGC_Head PyTypeObject PyHeapTypeObject PyMemberDef PyGetSetDef PyMethodDef PyModuleDef
      PyLongObject PyFloatObject PyComplexObject PyASCIIObject PyCompactUnicodeObject PyUnicodeObject PyBytesObject
      PyByteArrayObject PyListObject PyTupleObject PyDictObject PyFrozenDictObject PyDictKeysObject PyDictKeyEntry
      PyDictUnicodeEntry PyDictValues=_dictvalues PySetObject setentry PyFunctionObject PyMethodObject
      PyInstanceMethodObject PyCFunctionObject PyCMethodObject PyCellObject PyModuleObject PyCodeObject
      PyFrameObject PyTryBlock _PyInterpreterFrame PyFrameLocalsProxyObject PyGenObject PyCoroObject PyAsyncGenObject
      PyAsyncGenASend PyAsyncGenAThrow _PyAsyncGenWrappedValue PyCoroWrapper PyWeakReference PyTracebackObject
      PySliceObject PyMemoryViewObject _PyManagedBufferObject Py_buffer PyODictObject _odictnode PyPickleBufferObject
      PyCapsule _PyNamespaceObject PyLazyImportObject`,
  },
  // Exceptions
  {
    names: `PyBaseExceptionObject PyBaseExceptionGroupObject PySyntaxErrorObject PyImportErrorObject PyUnicodeErrorObject
      PySystemExitObject PyOSErrorObject PyStopIterationObject PyNameErrorObject PyAttributeErrorObject`,
  },
  // Descriptors, iterators, views and other small types
  {
    names: `propertyobject classmethod staticmethod PyDescrObject PyMemberDescrObject PyMethodDescrObject
      PyGetSetDescrObject PyWrapperDescrObject wrapperobject mappingproxyobject wrapperbase`,
  },
  {
    names: `dictiterobject _PyDictViewObject listiterobject=_PyListIterObject listreviterobject
      tupleiterobject=_PyTupleIterObject seqiterobject calliterobject anextawaitableobject setiterobject rangeobject
      rangeiterobject=_PyRangeIterObject longrangeiterobject odictiterobject striterobject unicodeiterobject
      memoryiterobject enumobject reversedobject zipobject mapobject filterobject superobject
      uniontype=unionobject gaobject gaiterobject lineiterator positionsiterator typealiasobject typevarobject
      paramspecobject typevartupleobject paramspecattrobject interpolationobject templateobject templateiterobject
      sentinelobject`,
  },
  { file: 'bytearrayobject.c', names: 'bytesiterobject' },
  // Built-in modules
  {
    file: '_collectionsmodule.c',
    names: 'dequeobject BLOCK defdictobject dequeiterobject _tuplegetterobject',
  },
  {
    file: '_functoolsmodule.c',
    names: 'partialobject lru_cache_object lru_list_elem keyobject',
  },
  {
    names: `PyContext=_pycontextobject PyContextVar=_pycontextvarobject PyContextToken=_pycontexttokenobject PyHamtObject
      PyHamtNode PyHamtNode_Bitmap PyHamtNode_Array PyHamtNode_Collision PyHamtIteratorState PyHamtIterator`,
  },
  {
    file: 'itertoolsmodule.c',
    names: `batchedobject pairwiseobject groupbyobject _grouperobject teedataobject teeobject cycleobject dropwhileobject
      takewhileobject isliceobject starmapobject chainobject productobject combinationsobject cwrobject
      permutationsobject accumulateobject compressobject filterfalseobject countobject repeatobject ziplongestobject`,
  },
  { file: '_operator.c', names: 'itemgetterobject attrgetterobject methodcallerobject' },
  {
    names: `buffered rwpair bytesio bytesiobuf stringio textio fileio iobase nldecoder_object PatternObject MatchObject
      ScannerObject _abc_data DirEntry ScandirIterator AST_object PySTEntryObject`,
  },
  {
    file: '_threadmodule.c',
    names: 'lockobject rlockobject localobject localdummyobject PyThreadHandleObject ThreadHandle',
  },
  // Extension modules
  {
    module: '_asyncio',
    names: `FutureObj TaskObj TaskStepMethWrapper TaskWakeupMethWrapper futureiterobject PyRunningLoopHolder
      asyncio_state Py_AsyncioModuleDebugOffsets`,
  },
  { module: '_queue', names: 'simplequeueobject RingBuf' },
  { module: '_csv', file: '_csv.c', names: 'DialectObj ReaderObj WriterObj' },
  {
    module: '_datetime',
    names: `PyDateTime_Delta PyDateTime_Date PyDateTime_DateTime PyDateTime_Time PyDateTime_TimeZone`,
  },
  {
    module: '_decimal',
    names:
      'PyDecObject PyDecContextObject PyDecContextManagerObject PyDecSignalDictObject mpd_t mpd_context_t',
  },
  {
    module: '_elementtree',
    names:
      'ElementObject ElementObjectExtra TreeBuilderObject XMLParserObject ElementIterObject ParentLocator',
  },
  { module: 'pyexpat', names: 'xmlparseobject' },
  {
    module: '_pickle',
    file: '_pickle.c',
    names: `PicklerObject UnpicklerObject PicklerMemoProxyObject UnpicklerMemoProxyObject PyMemoTable PyMemoEntry Pdata`,
  },
  { module: '_random', names: 'RandomObject' },
  { module: 'zlib', file: 'zlibmodule.c', names: 'compobject ZlibDecompressor' },
  { module: '_bz2', file: '_bz2module.c', names: 'BZ2Compressor BZ2Decompressor' },
  { module: '_lzma', file: '_lzmamodule.c', names: 'Compressor Decompressor' },
  { module: '_zstd', names: 'ZstdCompressor ZstdDecompressor ZstdDict' },
  { module: '_socket', names: 'PySocketSockObject' },
  {
    module: '_ssl',
    names: 'PySSLContext PySSLSocket PySSLMemoryBIO PySSLSession PySSLCertificate',
  },
  {
    module: '_sqlite3',
    names: `pysqlite_Connection pysqlite_Cursor pysqlite_Row pysqlite_Statement pysqlite_Blob pysqlite_PrepareProtocol
      pysqlite_Cache pysqlite_Node`,
  },
  { module: '_struct', names: 'PyStructObject formatcode unpackiterobject' },
  { module: 'array', file: 'arraymodule.c', names: 'arrayobject arrayiterobject arraydescr' },
  { module: '_json', file: '_json.c', names: 'PyScannerObject PyEncoderObject' },
  { module: '_hashlib', names: 'EVPobject HMACobject' },
  { module: 'mmap', names: 'mmap_object' },
  { module: 'select', names: 'pollObject pyEpoll_Object' },
  {
    module: '_zoneinfo',
    names: 'PyZoneInfo_ZoneInfo _ttinfo TransitionRuleType StrongCacheNode _tzrule',
  },
  {
    module: '_ctypes',
    names: `CDataObject PyCArgObject PyCFuncPtrObject StgDictObject StgInfo CFieldObject CThunkObject`,
  },
  { module: '_multiprocessing', names: 'SemLockObject' },
  { module: '_lsprof', names: 'ProfilerObject ProfilerEntry ProfilerSubEntry' },
];
