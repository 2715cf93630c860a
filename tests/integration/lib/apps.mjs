// A server of MCP Apps as its SDK's documentation has it: it looks at what its client declared, and has a tool with a user
// interface for those that can show one, and the same tool as text for all others. On stdio, of legacy revisions.
import {McpServer} from '@modelcontextprotocol/server';
import {StdioServerTransport} from '@modelcontextprotocol/server/stdio';
import {registerAppTool, registerAppResource, getUiCapability, RESOURCE_MIME_TYPE} from '@modelcontextprotocol/ext-apps/server';

const server = new McpServer({name: 'weather', title: 'The weather', version: '1.0.0', websiteUrl: 'https://weather.example/', icons: [{src: 'data:image/png;base64,AA==', sizes: ['48x48']}]},
  {capabilities: {tools: {listChanged: true}, resources: {}}, instructions: 'Ask for the weather.'});
const uri = 'ui://weather/dashboard';
const text = said => async () => ({content: [{type: 'text', text: said}]});

server.registerPrompt('ask', {description: 'Asks for the weather'}, async () => ({messages: [{role: 'user', content: {type: 'text', text: 'How is the weather?'}}]}));
server.registerTool('hello', {description: 'Says hello'}, text('hello'));
registerAppResource(server, 'dashboard', uri, {}, async () => ({contents: [{uri, mimeType: RESOURCE_MIME_TYPE, text: '<!doctype html>'}]}));
server.server.oninitialized = () => {
  if (getUiCapability(server.server.getClientCapabilities())?.mimeTypes?.includes(RESOURCE_MIME_TYPE)) {
    registerAppTool(server, 'weather', {description: 'Shows the weather', _meta: {ui: {resourceUri: uri}}}, text('look at the dashboard'));
    registerAppTool(server, 'refresh', {description: 'For the dashboard', _meta: {ui: {resourceUri: uri, visibility: ['app']}}}, text('refreshed'));
  } else {
    server.registerTool('weather', {description: 'Tells the weather'}, text('it rains'));
  }
};
await server.connect(new StdioServerTransport());
