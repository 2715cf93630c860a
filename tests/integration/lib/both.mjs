// A server of both eras on the SDK, on stdio, that says all of itself that can be said.
import {McpServer} from '@modelcontextprotocol/server';
import {serveStdio} from '@modelcontextprotocol/server/stdio';

serveStdio(() => {
  const server = new McpServer({name: 'both', version: '1', title: 'Both eras', description: 'Says all', websiteUrl: 'https://both.example/',
    icons: [{src: 'https://both.example/i.png', mimeType: 'image/png', sizes: ['48x48']}]},
  {capabilities: {tools: {listChanged: true}, prompts: {}, resources: {}, logging: {}}, instructions: 'Say all.'});
  server.registerTool('tell', {title: 'Tells', description: 'Tells', annotations: {readOnlyHint: true}, _meta: {of: 'tell'}}, async () => ({content: [{type: 'text', text: 'told'}], _meta: {k: 1}}));
  server.registerPrompt('ask', {title: 'Asks', description: 'Asks'}, async () => ({messages: [{role: 'user', content: {type: 'text', text: 'ask'}}]}));
  server.registerResource('page', 'both://page', {title: 'A page', mimeType: 'text/plain'}, async () => ({contents: [{uri: 'both://page', text: 'page'}]}));
  return server;
});
