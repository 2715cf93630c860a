/* servers.h: the MCP servers of this node as its options name them: JSON files, read as they are,
 * command lines and URLs, and which of them are replicas. */
#ifndef IO_SERVERS_H
#define IO_SERVERS_H

#include "node/io/options.h"
#include "node/node.h"
#include "proto/base/memory.h"

struct servers {
    struct node_servers_text *texts;
    struct mn_span *options, *replicas; /* borrowed from the options */
    uint32_t texts_count, options_count, replicas_count;
    struct mn_arena arena; /* holds the rest */
};

/* Reads the files that mcp.servers_files names. MN_CONFIG: [error] names the file, and what is
 * wrong with it. servers_done() in either case. */
MN_MUST_USE mn_status servers_read(const struct options *options, struct servers *ret,
                                   struct options_error *error);
void servers_done(struct servers *servers);

/* Would the node accept them? MN_CONFIG: [error] names the text, the server and the key. */
MN_MUST_USE mn_status servers_check(struct servers *servers, struct options_error *error);

/* Sets what of [config] is about servers; it borrows from [servers]. */
void servers_fill(const struct servers *servers, struct node_config *config);

#endif
