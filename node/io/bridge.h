/* bridge.h: `meshnode mcp`: an MCP server on standard input and output, for clients that only spawn
 * commands. Messages go to a node's /mcp: over its admin socket, or by HTTP. */
#ifndef IO_BRIDGE_H
#define IO_BRIDGE_H

/* Serves until the input ends; [argv][0] is the word "mcp". The exit code. */
int bridge(int argc, char **argv);

#endif
