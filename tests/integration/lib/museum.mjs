// A server whose answers are texts, not values: numbers that no double holds, escapes, members nobody knows. Of one era,
// over Streamable HTTP on loopback, byte for byte the same for whoever asks; [told] holds the bodies that came in.
import {createServer} from 'node:http';

const cached = ',"ttlMs":0,"cacheScope":"private"', info = '{"name":"museum","version":"1","icons":[{"src":"https://e.example/i.png","theme":"dark"}],"x":1.0}';
const capabilities = '{"tools":{"listChanged":true},"resources":{"subscribe":true},"prompts":{},"completions":{},"logging":{},"experimental":{"e":{"x":1.0}},"extensions":{"com.example/e":{"v":1.0}}}';
const open = '{"type":"object"}';
const more = '"_meta":{"m/x":1.0,"n":[1e400]},"x":{"y":"\\u00e9"}'; // of the result itself

export const tools = [
  `{"name":"odd","title":"\\u00e9 \\ud83d\\ude00","inputSchema":{"type":"object","properties":{"n":{"type":"number","minimum":-1e400,"x":18446744073709551616}},"$defs":{"a":{"$anchor":"b"}}},` +
    `"outputSchema":{"type":"object","x":1.0},"icons":[{"src":"data:image/png;base64,AA==","sizes":["48x48","any"],"theme":"dark","x":1}],"annotations":{"readOnlyHint":true,"x":[1.0,1e2]},"_meta":{"ui":{"resourceUri":"ui://museum/app"},"a/b":0.10},"x":{"z":1,"a":2}}`,
  ...['progress', 'log', 'fail', 'links', 'raw'].map(name => `{"name":"${name}","inputSchema":${open}}`),
];

const odd = '"content":[{"type":"text","text":"a\\u0000b\\u2028 \\/ cut: \\ud83d","annotations":{"audience":["user","assistant"],"priority":0.50,"lastModified":"2025-01-12T15:00:58Z"},"_meta":{"k":1e400}},' +
  '{"type":"image","data":"AA==","mimeType":"image/png","x":1.0},{"type":"audio","data":"AA==","mimeType":"audio/wav"},{"type":"resource_link","uri":"x://link","name":"l","size":12345678901234567890,"icons":[]},' +
  '{"type":"resource","resource":{"uri":"x://in","blob":"AA==","_meta":{"z":1.0}}},{"type":"hologram","data":[[[]]]}],"structuredContent":{"big":123456789012345678901234567890,"f":0.1000,"e":1E+2,"neg":-0,"":{"":""}},"isError":false,"_meta":{"v/x":[1,2,{"y":null}]},"x":{"q":[]}';

// The result, as text without its braces, of what a method is asked; an error {code, message, data}; events that come before.
function answer(era, name, method, params, token) {
  const hints = era === 'modern' ? cached : '';
  switch (method) {
    case 'initialize': return {result: `"protocolVersion":"2025-11-25","capabilities":${capabilities},"serverInfo":${info},"instructions":"Look, do not touch.",${more}`};
    case 'server/discover': return {result: `"supportedVersions":["2026-07-28"],"capabilities":${capabilities},"instructions":"Look, do not touch.",${more.replace('{', `{"io.modelcontextprotocol/serverInfo":${info},`)}${hints}`};
    case 'tools/list': return {result: `"tools":[${tools}]${hints},${more}`};
    case 'resources/list': return {result: `"resources":[{"uri":"x://one","name":"one","size":5.0,"icons":[],"annotations":{"priority":0.50},"_meta":{"q":1.0},"x":1}]${hints},${more}`};
    case 'resources/templates/list': return {result: `"resourceTemplates":[{"uriTemplate":"x://t/{id}","name":"t","x":1.0},{"uriTemplate":"x://t/${name}-{id}","name":"narrower"}]${hints},${more}`};
    case 'prompts/list': return {result: `"prompts":[{"name":"p q/é","arguments":[{"name":"a","required":true,"x":1.0}],"_meta":{"m":1.0}}]${hints},${more}`};
    case 'prompts/get': return {result: '"messages":[{"role":"user","content":{"type":"text","text":"\\ud83d"}},{"role":"user","content":{"type":"resource_link","uri":"x://one","name":"o"}}],"_meta":{"z":1.0}'};
    case 'completion/complete': return {result: `"completion":{"values":[${JSON.stringify(JSON.stringify([params.ref, params.argument, params.context]))}],"total":1000,"hasMore":true,"x":1.0}`};
    case 'resources/read':
      if (params.uri === 'x://gone' || params.uri.startsWith('only:') && !params.uri.includes(name)) return {error: {code: era === 'modern' ? -32602 : -32002, data: `{"uri":${JSON.stringify(params.uri)},"more":1.0}`}};
      return {result: `"contents":[{"uri":${JSON.stringify(params.uri)},"text":"\\u00e9 of ${name}","_meta":{"c":1.0}}],"x":[1.0]${hints}`};
    case 'tools/call': break;
    case 'com.example/tell': return {result: `"told":${JSON.stringify(params?.what ?? 'nothing')},"x":1.0`};
    default: return {error: {code: -32601, data: '{"of":"museum"}'}};
  }
  const told = (name, members) => ({method: name, params: `{${members},"_meta":{"x":1.0},"y":[1e400]}`});
  switch (params.name) {
    case 'odd': return {result: odd};
    case 'fail': return {error: {code: params.arguments.code, data: '{"n":1e400,"b":[12345678901234567890]}'}};
    case 'progress': return {result: '"content":[]', before: token === undefined ? [] :
      [1, 2, 3].map(i => told('notifications/progress', `"progressToken":${JSON.stringify(token)},"progress":${i}.50,"total":3.0,"message":"\\u00e9"`))};
    case 'log': return {result: '"content":[]', before: ['info', 'error'].map(level => told('notifications/message', `"level":"${level}","logger":"L","data":{"n":1e400}`))};
    case 'links': return {result: '"content":[{"type":"resource_link","uri":"x://one","name":"o"},{"type":"resource_link","uri":"nobody://lists/this","name":"u"},' +
      '{"type":"resource_link","uri":"x://t/7","name":"t"},{"type":"resource","resource":{"uri":"x://one","text":"in it"}},{"type":"resource_link","uri":"https://e.example/","name":"w"}]'};
    case 'raw': return {result: params.arguments.text}; // whatever it is
    default: return {error: {code: -32602}};
  }
}

export async function museum(era, name = 'museum') {
  const told = [], type = {json: {'content-type': 'application/json'}, sse: {'content-type': 'text/event-stream'}};
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts).toString();
    if (request.method !== 'POST') return response.writeHead(request.method === 'GET' ? 405 : 200).end();
    told.push(body);
    const {id, method, params} = JSON.parse(body);
    if (id === undefined) return response.writeHead(202).end();
    const {result, error, before = []} = method === (era === 'modern' ? 'initialize' : 'server/discover') ? {error: {code: -32601}} : answer(era, name, method, params, params?._meta?.progressToken);
    const end = `{"jsonrpc":"2.0","id":${JSON.stringify(id)},` + (result === undefined
      ? `"error":{"code":${error.code},"message":"museum says no"${error.data ? `,"data":${error.data}` : ''}}}`
      : `"result":{${era === 'modern' ? '"resultType":"complete",' : ''}${result}}}`);
    if (before.length === 0) return response.writeHead(200, type.json).end(end);
    response.writeHead(200, type.sse);
    for (const {method, params} of before) response.write(`data: {"jsonrpc":"2.0","method":"${method}","params":${params}}\n\n`);
    response.end(`data: ${end}\n\n`);
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  return {url: `http://127.0.0.1:${server.address().port}/mcp`, told, close: () => server.close()};
}
