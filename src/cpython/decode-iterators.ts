// Tables of the built-in iterators and views, of itertools, and of small built-in types of fixed fields: slice, range,
// super, memoryview, generic aliases, type variables, template strings.
// Source: Objects/*iterobject.c, enumobject.c, sliceobject.c, rangeobject.c, memoryobject.c, genericaliasobject.c,
// unionobject.c, typevarobject.c, Python/bltinmodule.c, Modules/itertoolsmodule.c (3.8 to 3.15).

import { EdgeKind } from '../graph/heap-graph.ts';
import { makeLabels, ownBufferAt, type StructTable } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject } from './object-reader.ts';

/** LINKCELLS of itertoolsmodule.c. */
const TEE_VALUES = 57;
const MAX_INDICES = 1 << 24;

export const iteratorTables: readonly StructTable[] = [
  {
    types: [
      'dict_keyiterator',
      'dict_valueiterator',
      'dict_itemiterator',
      'dict_reversekeyiterator',
      'dict_reversevalueiterator',
      'dict_reverseitemiterator',
    ],
    struct: 'dictiterobject',
    fields: { di_dict: '', di_result: '' },
  },
  {
    types: ['dict_keys', 'dict_values', 'dict_items', 'odict_keys', 'odict_values', 'odict_items'],
    struct: '_PyDictViewObject',
    fields: { dv_dict: '' },
  },
  {
    types: ['odict_iterator'],
    struct: 'odictiterobject',
    fields: { di_odict: '', di_result: '', di_current: '' },
  },
  { types: ['list_iterator'], struct: 'listiterobject', fields: { it_seq: '' } },
  { types: ['list_reverseiterator'], struct: 'listreviterobject', fields: { it_seq: '' } },
  { types: ['tuple_iterator'], struct: 'tupleiterobject', fields: { it_seq: '' } },
  {
    types: ['str_iterator', 'str_ascii_iterator'],
    struct: 'unicodeiterobject',
    fields: { it_seq: '' },
  },
  { types: ['bytes_iterator'], struct: 'striterobject', fields: { it_seq: '' } },
  { types: ['bytearray_iterator'], struct: 'bytesiterobject', fields: { it_seq: '' } },
  { types: ['memory_iterator'], struct: 'memoryiterobject', fields: { it_seq: '' } },
  { types: ['set_iterator'], struct: 'setiterobject', fields: { si_set: '' } },
  { types: ['iterator'], struct: 'seqiterobject', fields: { it_seq: '' } },
  {
    types: ['callable_iterator'],
    struct: 'calliterobject',
    fields: { it_callable: '', it_sentinel: '' },
  },
  {
    types: ['anext_awaitable'],
    struct: 'anextawaitableobject',
    fields: { wrapped: '', default_value: '' },
  },
  {
    types: ['collections._deque_iterator', '_collections._deque_iterator'],
    struct: 'dequeiterobject',
    fields: { deque: '' },
  },
  {
    types: ['collections._deque_reverse_iterator', '_collections._deque_reverse_iterator'],
    struct: 'dequeiterobject',
    fields: { deque: '' },
  },
  {
    types: ['collections._tuplegetter', '_collections._tuplegetter'],
    struct: '_tuplegetterobject',
    fields: { doc: '__doc__' },
  },
  { types: ['array.arrayiterator'], struct: 'arrayiterobject', fields: { ao: '' } },
  { types: ['arrayiterator'], struct: 'arrayiterobject', fields: { ao: '' } },
  {
    types: ['enumerate'],
    struct: 'enumobject',
    fields: { en_sit: '', en_result: '', en_longindex: '' },
  },
  { types: ['reversed'], struct: 'reversedobject', fields: { seq: '' } },
  { types: ['zip'], struct: 'zipobject', fields: { ittuple: '', result: '' } },
  { types: ['map'], struct: 'mapobject', fields: { iters: '', func: '' } },
  { types: ['filter'], struct: 'filterobject', fields: { func: '', it: '' } },
  {
    types: ['slice'],
    struct: 'PySliceObject',
    fields: { start: 'start', stop: 'stop', step: 'step' },
  },
  {
    types: ['range'],
    struct: 'rangeobject',
    fields: { start: 'start', stop: 'stop', step: 'step', length: '' },
  },
  { types: ['range_iterator'], struct: 'rangeiterobject', fields: {} },
  {
    types: ['longrange_iterator'],
    struct: 'longrangeiterobject',
    fields: { index: '', start: '', step: '', len: '' },
  },
  {
    types: ['super'],
    struct: 'superobject',
    fields: { type: '__thisclass__', obj: '__self__', obj_type: '__self_class__' },
  },
  {
    types: ['memoryview'],
    struct: 'PyMemoryViewObject',
    fields: { mbuf: '' },
    structSize: (layout) => layout.offset('PyMemoryViewObject.ob_array'),
  },
  {
    types: ['managedbuffer'],
    struct: '_PyManagedBufferObject',
    fields: { 'master.obj': '' },
  },
  { types: ['pickle.PickleBuffer'], struct: 'PyPickleBufferObject', fields: { 'view.obj': '' } },
  {
    types: ['types.GenericAlias'],
    struct: 'gaobject',
    fields: { origin: '__origin__', args: '__args__', parameters: '__parameters__' },
  },
  { types: ['generic_alias_iterator'], struct: 'gaiterobject', fields: { obj: '' } },
  {
    types: ['types.UnionType', 'typing.Union'],
    struct: 'uniontype',
    fields: {
      args: '__args__',
      parameters: '__parameters__',
      hashable_args: '',
      unhashable_args: '',
    },
  },
  { types: ['line_iterator'], struct: 'lineiterator', fields: { li_code: '' } },
  { types: ['positions_iterator'], struct: 'positionsiterator', fields: { pi_code: '' } },
  {
    types: ['typing.TypeAliasType'],
    struct: 'typealiasobject',
    fields: {
      name: '__name__',
      qualname: '__qualname__',
      type_params: '__type_params__',
      compute_value: '',
      value: '__value__',
      module: '__module__',
    },
  },
  {
    types: ['typing.TypeVar'],
    struct: 'typevarobject',
    fields: {
      name: '__name__',
      bound: '__bound__',
      evaluate_bound: '',
      constraints: '__constraints__',
      evaluate_constraints: '',
      default_value: '__default__',
      evaluate_default: '',
    },
  },
  {
    types: ['typing.ParamSpec'],
    struct: 'paramspecobject',
    fields: {
      name: '__name__',
      bound: '__bound__',
      default_value: '__default__',
      evaluate_default: '',
    },
  },
  {
    types: ['typing.TypeVarTuple'],
    struct: 'typevartupleobject',
    fields: {
      name: '__name__',
      bound: '__bound__',
      default_value: '__default__',
      evaluate_default: '',
    },
  },
  {
    types: ['typing.ParamSpecArgs', 'typing.ParamSpecKwargs'],
    struct: 'paramspecattrobject',
    fields: { __origin__: '__origin__' },
  },
  {
    types: ['string.templatelib.Interpolation'],
    struct: 'interpolationobject',
    fields: {
      value: 'value',
      expression: 'expression',
      conversion: 'conversion',
      format_spec: 'format_spec',
    },
  },
  {
    types: ['string.templatelib.Template'],
    struct: 'templateobject',
    fields: { strings: 'strings', interpolations: 'interpolations' },
  },
  {
    types: ['string.templatelib.TemplateIter'],
    struct: 'templateiterobject',
    fields: { stringsiter: '', interpolationsiter: '' },
  },
  // itertools
  { types: ['itertools.batched'], struct: 'batchedobject', fields: { it: '' } },
  {
    types: ['itertools.pairwise'],
    struct: 'pairwiseobject',
    fields: { it: '', old: '', result: '' },
  },
  {
    types: ['itertools.groupby'],
    struct: 'groupbyobject',
    fields: { it: '', keyfunc: '', tgtkey: '', currkey: '', currvalue: '' },
  },
  { types: ['itertools._grouper'], struct: '_grouperobject', fields: { parent: '', tgtkey: '' } },
  {
    types: ['itertools._tee_dataobject'],
    struct: 'teedataobject',
    fields: { it: '', nextlink: '' },
    also: makeDecodeTeeValues,
  },
  { types: ['itertools._tee'], struct: 'teeobject', fields: { dataobj: '' } },
  { types: ['itertools.cycle'], struct: 'cycleobject', fields: { it: '', saved: '' } },
  { types: ['itertools.dropwhile'], struct: 'dropwhileobject', fields: { func: '', it: '' } },
  { types: ['itertools.takewhile'], struct: 'takewhileobject', fields: { func: '', it: '' } },
  { types: ['itertools.islice'], struct: 'isliceobject', fields: { it: '' } },
  { types: ['itertools.starmap'], struct: 'starmapobject', fields: { func: '', it: '' } },
  { types: ['itertools.chain'], struct: 'chainobject', fields: { source: '', active: '' } },
  {
    types: ['itertools.product'],
    struct: 'productobject',
    fields: { pools: '', result: '' },
    also: (layout) => makeDecodeIndices(layout, 'productobject', 'pools', undefined),
  },
  {
    types: ['itertools.combinations'],
    struct: 'combinationsobject',
    fields: { pool: '', result: '' },
    also: (layout) => makeDecodeIndices(layout, 'combinationsobject', undefined, 'indices'),
  },
  {
    types: ['itertools.combinations_with_replacement'],
    struct: 'cwrobject',
    fields: { pool: '', result: '' },
    also: (layout) => makeDecodeIndices(layout, 'cwrobject', undefined, 'indices'),
  },
  {
    types: ['itertools.permutations'],
    struct: 'permutationsobject',
    fields: { pool: '', result: '' },
    also: (layout) => makeDecodeIndices(layout, 'permutationsobject', 'pool', 'cycles'),
  },
  {
    types: ['itertools.accumulate'],
    struct: 'accumulateobject',
    fields: { total: '', it: '', binop: '', initial: '' },
  },
  { types: ['itertools.compress'], struct: 'compressobject', fields: { data: '', selectors: '' } },
  { types: ['itertools.filterfalse'], struct: 'filterfalseobject', fields: { func: '', it: '' } },
  { types: ['itertools.count'], struct: 'countobject', fields: { long_cnt: '', long_step: '' } },
  { types: ['itertools.repeat'], struct: 'repeatobject', fields: { element: '' } },
  {
    types: ['itertools.zip_longest'],
    struct: 'ziplongestobject',
    fields: { ittuple: '', result: '', fillvalue: '' },
  },
];

function makeDecodeTeeValues(layout: Layout): DecodeObject {
  const numread = layout.offset('teedataobject.numread') / 4;
  const values = layout.word('teedataobject.values');
  const labelsOf = makeLabels(['values']);
  return (reader, word) => {
    const count = Math.min(reader.halves[word * 2 + numread], TEE_VALUES);
    const label = labelsOf(reader)[0];
    for (let i = 0; i < count; i++) {
      reader.referenceAt(word + values + i, EdgeKind.internal, label);
    }
  };
}

/**
 * Arrays of positions: `indices` has as many as the tuple in `pool` where that is given, otherwise `r`; `ofR` names the
 * array with `r` of them. All are counted by sys.getsizeof.
 */
function makeDecodeIndices(
  layout: Layout,
  struct: string,
  pool: string | undefined,
  ofR: string | undefined,
): DecodeObject {
  const poolWord = pool === undefined ? -1 : layout.word(`${struct}.${pool}`);
  const indices = layout.word(`${struct}.indices`);
  const arrayOfR = ofR === undefined ? -1 : layout.word(`${struct}.${ofR}`);
  const r = ofR === undefined ? -1 : layout.word(`${struct}.r`);
  return (reader, word) => {
    const { halves, image } = reader;
    if (poolWord >= 0) {
      const tuple = reader.follow(word + poolWord);
      const isReadable = tuple !== 0 && tuple + 3 <= image.runEnd(tuple);
      const bytes = isReadable ? Math.min(halves[(tuple + 2) * 2], MAX_INDICES) * 8 : 0;
      reader.shallowBytes += bytes;
      ownBufferAt(reader, word + indices, bytes);
    }
    if (arrayOfR >= 0) {
      const bytes = Math.min(halves[(word + r) * 2], MAX_INDICES) * 8;
      reader.shallowBytes += bytes;
      ownBufferAt(reader, word + arrayOfR, bytes);
    }
  };
}
