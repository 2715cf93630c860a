// An MCP server of both eras with the tools that the conformance scenarios ask for, on the official SDK:
// its front is an opinion of its own, against which ours is compared. Prints its URL.
import {createServer} from 'node:http';
import {randomUUID} from 'node:crypto';
import {McpServer, MissingRequiredClientCapabilityError, ProtocolError, ProtocolErrorCode, createMcpHandler, fromJsonSchema,
  isLegacyRequest} from '@modelcontextprotocol/server';
import {NodeStreamableHTTPServerTransport, localhostHostValidation, localhostOriginValidation, toNodeHandler, toWebRequest} from '@modelcontextprotocol/node';

const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const wav = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';
const text = text => ({type: 'text', text});
const image = {type: 'image', data: png, mimeType: 'image/png'};
const sleep = ms => new Promise(done => setTimeout(done, ms));
const none = {type: 'object', properties: {}};

const rich = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {address: {$anchor: 'addressDef', type: 'object', properties: {street: {type: 'string'}, city: {type: 'string'}}}},
  properties: {
    name: {type: 'string'}, address: {$ref: '#/$defs/address'},
    contactMethod: {type: 'string', enum: ['phone', 'email']}, phone: {type: 'string'}, email: {type: 'string'},
  },
  allOf: [{anyOf: [{required: ['phone']}, {required: ['email']}]}],
  if: {properties: {contactMethod: {const: 'phone'}}, required: ['contactMethod']},
  then: {required: ['phone']},
  else: {required: ['email']},
  additionalProperties: false,
};

// All sessions and requests share what changes: whether there is one tool more.
let hasExtra = false;
const sessions = new Map();

const tools = {
  test_simple_text: {about: 'Answers with a line of text', run: () => ({content: [text('This is a simple text response for testing.')]})},
  test_image_content: {about: 'Answers with an image', run: () => ({content: [image]})},
  test_audio_content: {about: 'Answers with a sound', run: () => ({content: [{type: 'audio', data: wav, mimeType: 'audio/wav'}]})},
  test_embedded_resource: {about: 'Answers with a resource', run: () => ({content: [{type: 'resource',
    resource: {uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.'}}]})},
  test_multiple_content_types: {about: 'Answers with text, an image and a resource', run: () => ({content: [
    text('Multiple content types test:'), image,
    {type: 'resource', resource: {uri: 'test://mixed-content-resource', mimeType: 'application/json', text: '{"test":"data"}'}}]})},
  test_error_handling: {about: 'Fails', run: () => ({isError: true, content: [text('This tool intentionally returns an error for testing')]})},
  test_tool_with_progress: {about: 'Reports how far it is', run: async (_, {mcpReq}) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined)
        await mcpReq.notify({method: 'notifications/progress', params: {progressToken, progress, total: 100}});
      await sleep(20);
    }
    return {content: [text('done')]};
  }},
  test_logging_tool: {about: 'Logs, if somebody listens', run: async (_, {mcpReq}) => {
    await mcpReq.log('info', 'a line of the log');
    return {content: [text('logged')]};
  }},
  test_missing_capability: {about: 'Needs a client that samples', run: (_, {mcpReq}) => {
    if (!mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities']?.sampling)
      throw new MissingRequiredClientCapabilityError({requiredCapabilities: {sampling: {}}});
    return {content: [text('the client samples')]};
  }},
  test_streaming_elicitation: {about: 'Streams, and asks nothing by itself', run: async (_, {mcpReq}) => {
    await mcpReq.log('info', 'on its way');
    return {content: [text('no question')]};
  }},
  test_trigger_tool_change: {about: 'Adds a tool, or takes it away', run: () => {
    hasExtra = !hasExtra;
    modern.notify.toolsChanged();
    for (const {extra} of sessions.values()) extra.update({enabled: hasExtra}); // and tells the session's client
    return {content: [text('changed')]};
  }},
  test_x_mcp_header: {about: 'Wants an argument in a header', schema: {type: 'object', properties: {
    region: {type: 'string', 'x-mcp-header': 'Region'}, query: {type: 'string'}}},
  run: ({region}) => ({content: [text(`region ${region}`)]})},
  json_schema_2020_12_tool: {about: 'Has a schema with every keyword', schema: rich, run: () => ({content: [text('ok')]})},
};

function build() {
  const server = new McpServer({name: 'conformance-fixture', version: '1.0.0'}, {capabilities: {tools: {listChanged: true}, logging: {}}});
  for (const [name, {about, schema = none, run}] of Object.entries(tools))
    server.registerTool(name, {description: about, inputSchema: fromJsonSchema(schema)}, run);
  const extra = server.registerTool('test_extra', {description: 'Is there or not', inputSchema: fromJsonSchema(none)}, () => ({content: []}));
  if (!hasExtra) extra.disable();
  // The SDK's own handler makes results of all errors; here a protocol error stays one.
  server.server.setRequestHandler('tools/call', ({params}, context) => {
    if (!Object.hasOwn(tools, params.name)) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `unknown tool: ${params.name}`);
    return tools[params.name].run(params.arguments ?? {}, context);
  });
  return {server, extra};
}

const modern = createMcpHandler(() => build().server, {legacy: 'reject'});
const serveModern = toNodeHandler(modern);

async function serveLegacy(request, response) {
  const id = request.headers['mcp-session-id'];
  let session = sessions.get(id);
  if (id && !session) {
    response.writeHead(404, {'content-type': 'application/json'});
    response.end(JSON.stringify({jsonrpc: '2.0', id: null, error: {code: -32001, message: 'no such session'}}));
    return;
  }
  if (!session) {
    const {server, extra} = build();
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: id => { sessions.set(id, session); },
      onsessionclosed: id => { sessions.delete(id); },
    });
    session = {extra, transport};
    await server.connect(transport);
  }
  await session.transport.handleRequest(request, response, request.body);
}

const isHostGood = localhostHostValidation(), isOriginGood = localhostOriginValidation();
const http = createServer(async (request, response) => {
  if (!isHostGood(request, response) || !isOriginGood(request, response)) return;
  try {
    if (request.method === 'POST') {
      const parts = [];
      for await (const part of request) parts.push(part);
      try { request.body = JSON.parse(Buffer.concat(parts)); } catch {}
    }
    const isLegacy = request.body === undefined || await isLegacyRequest(await toWebRequest(request, request.body));
    await (isLegacy ? serveLegacy(request, response) : serveModern(request, response, request.body));
  } catch (error) {
    console.error(error);
    if (!response.headersSent) response.writeHead(500).end();
  }
});
http.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
