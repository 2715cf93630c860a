// A client of SDK v1 that is told things outside of calls: connected once the stream of its session is open, too, which the
// SDK begins beside and does not wait for.
import {StreamableHTTPClientTransport} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {waitFor} from './mesh.mjs';

export async function connectStreaming(client, target) {
  let isOpen = false;
  await client.connect(new StreamableHTTPClientTransport(new URL(target), {fetch: async (to, init) => {
    const response = await fetch(to, init);
    isOpen ||= init?.method === 'GET' && response.ok;
    return response;
  }}));
  await waitFor('the stream of its session is open', () => isOpen, {quiet: true});
}
