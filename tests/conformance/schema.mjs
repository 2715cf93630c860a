// Our JSON Schema validator against two opinions: the public JSON-Schema-Test-Suite (Debian's package; it has
// draft-07) and ajv, which also judges the same cases as 2020-12. Prints the pass rates; every difference that
// is not named here, with its reason, is a failure, and so is one named here that is gone.
// usage: node schema.mjs (BIN_UNDER_TEST: the programs' folder)
import {readdirSync, readFileSync} from 'node:fs';
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';
import {bin} from '../integration/lib/mesh.mjs';

const suite = process.env.JSON_SCHEMA_SUITE ?? '/usr/share/json-schema-test-suite/tests/draft7';
const files = [...readdirSync(suite).filter(name => name.endsWith('.json')).map(name => name),
  ...['bignum', 'ecmascript-regex', 'zeroTerminatedFloats'].map(name => `optional/${name}.json`)];

// Cases that need what is documented as not done (node/json/schema.h), by file and description: all of the
// first kind are refused as schemas, none is judged wrongly.
const fetched = ['definitions.json: valid definition', 'definitions.json: invalid definition', 'ref.json: remote ref, containing refs itself',
  ...['remote ref', 'fragment within remote ref', 'ref within remote ref', 'base URI change', 'base URI change - change folder',
    'base URI change - change folder in subschema', 'root ref in remote ref'].map(name => `refRemote.json: ${name}`)];
const relative = ['ref.json: Recursive references between schemas'];
const regex = ['optional/ecmascript-regex.json: ECMA 262 regex non-compliance']; // \Z means something in Perl's
const known = {'draft-07': [...fetched, ...relative, ...regex], '2020-12': relative};

const cases = files.flatMap(file => JSON.parse(readFileSync(join(suite, file), 'utf8')).flatMap(({description, schema, tests}) =>
  tests.map(test => ({name: `${file}: ${description}: ${test.description}`, group: `${file}: ${description}`, schema, data: test.data, valid: test.valid}))));

// What 2020-12 has and draft-07 has not: each schema with each of these.
const things = [null, true, 0, 3, 'x', 'abc', [], [1], [1, 'a'], ['a', 1, 2], [1, 1, 1], [{a: 1}], {}, {a: 1}, {a: 'x'}, {a: 1, b: 2}, {a: {b: 1}}, {c: [1, 2]},
  {value: 1, children: [{value: 2, children: []}]}, {value: 1, children: [{valu: 2}]}];
const modern = [
  {prefixItems: [{type: 'integer'}, {type: 'string'}]},
  {prefixItems: [{type: 'integer'}], items: {type: 'string'}},
  {prefixItems: [true], items: false},
  {prefixItems: [true, true], unevaluatedItems: false},
  {contains: {type: 'integer'}, minContains: 2}, {contains: {const: 1}, maxContains: 1}, {contains: {type: 'string'}, minContains: 0},
  {allOf: [{prefixItems: [true]}], unevaluatedItems: {type: 'string'}},
  {anyOf: [{prefixItems: [{const: 1}]}, {prefixItems: [true, {const: 'a'}]}], unevaluatedItems: false},
  {dependentRequired: {a: ['b']}}, {dependentSchemas: {a: {required: ['b'], properties: {a: {type: 'integer'}}}}},
  {properties: {a: true}, unevaluatedProperties: false}, {allOf: [{properties: {a: true}}], unevaluatedProperties: {type: 'integer'}},
  {if: {properties: {a: {const: 1}}, required: ['a']}, then: {properties: {b: true}}, else: {properties: {c: true}}, unevaluatedProperties: false},
  {oneOf: [{properties: {a: {type: 'integer'}}, required: ['a']}, {properties: {c: true}, required: ['c']}], unevaluatedProperties: false},
  {patternProperties: {'^a': true}, unevaluatedProperties: false}, {$ref: '#/$defs/x', unevaluatedProperties: false, $defs: {x: {properties: {a: true}}}},
  {$ref: '#/$defs/x', required: ['b'], $defs: {x: {required: ['a']}}}, {$ref: '#here', $defs: {x: {$anchor: 'here', type: 'object'}}},
  {$ref: 'https://example.com/inner', $defs: {x: {$id: 'https://example.com/inner', $defs: {y: {type: 'array'}}, $ref: '#/$defs/y'}}},
  {$id: 'https://example.com/strict', $dynamicAnchor: 'node', $ref: 'https://example.com/tree', unevaluatedProperties: false,
    $defs: {tree: {$id: 'https://example.com/tree', $dynamicAnchor: 'node', type: 'object', properties: {value: true,
      children: {type: 'array', items: {$dynamicRef: '#node'}}}}}},
  {propertyNames: {maxLength: 1}}, {not: {required: ['a']}}, {unevaluatedProperties: {not: {}}}, {type: ['array', 'null']},
];
cases.push(...modern.flatMap((schema, i) => things.map(data => ({name: `2020-12 only: ${JSON.stringify(schema)} with ${JSON.stringify(data)}`,
  group: `modern ${i}`, schema, data}))));

function ours(schemas) {
  const input = schemas.map((schema, i) => JSON.stringify({schema, data: cases[i].data})).join('\n') + '\n';
  const {stdout, status, signal} = spawnSync(join(bin, 'schema-check'), {input, encoding: 'utf8', maxBuffer: 1 << 26});
  if (status !== 0) throw new Error(`schema-check: ${signal ?? status}`);
  return stdout.trimEnd().split('\n');
}

const dialect = (schema, uri) => typeof schema === 'object' && !Array.isArray(schema) ? {$schema: uri, ...schema} : schema;

// A case as ajv sees it; undefined: it cannot use the schema either. Compiling is what takes time.
const compiled = new Map();
function oracle(kind, schema, data) {
  const key = `${kind.name} ${JSON.stringify(schema)}`;
  if (!compiled.has(key)) {
    try {
      compiled.set(key, new kind({strict: false, logger: false, validateFormats: false}).compile(schema));
    } catch {
      compiled.set(key, undefined);
    }
  }
  return compiled.get(key)?.(data);
}

let failures = 0;
function compare(name, schemas, verdict) {
  const answers = ours(schemas), gone = new Set(known[name]);
  let right = 0, judged = 0;
  cases.forEach((test, i) => {
    const expected = verdict(test, schemas[i]);
    if (expected === undefined) return;
    judged++;
    if (answers[i].split(':')[0] === (expected ? 'valid' : 'invalid')) {
      right++;
    } else if (known[name].includes(test.group)) {
      gone.delete(test.group);
    } else {
      console.log(`  ${name}: ${test.name}: should be ${expected ? 'valid' : 'invalid'}, is ${answers[i]}`);
      failures++;
    }
  });
  for (const group of gone) console.log(`  ${name}: passes now, so it is no exception any more: ${group}`);
  failures += gone.size;
  console.log(`${name}: ${right} of ${judged} cases judged alike (${(100 * right / judged).toFixed(1)} %)`);
  if (judged < 390) throw new Error('too few cases: is the suite there?');
}

const old = 'http://json-schema.org/draft-07/schema#', now = 'https://json-schema.org/draft/2020-12/schema';
compare('draft-07', cases.map(({schema}) => dialect(schema, old)), ({valid}) => valid);
compare('2020-12', cases.map(({schema}) => dialect(schema, now)), ({data}, schema) => oracle(Ajv2020, schema, data));
const suiteCases = cases.filter(({valid}) => valid !== undefined);
const agree = suiteCases.filter(({schema, data, valid}) => oracle(Ajv, dialect(schema, old), data) === valid).length;
console.log(`for comparison, ajv on draft-07: ${agree} of ${suiteCases.length}`);
if (failures > 0) throw new Error(`${failures} differences`);
