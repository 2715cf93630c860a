/* serverfile.h: MCP servers from the JSON files that people have already: `{"mcpServers": {...}}`
 * as most clients write it, or `{"servers": {...}}` as VS Code does.
 *
 * Known keys of a server: command, args, env, cwd | url, headers; type ("stdio", "http",
 * "streamable-http"); era ("auto", "legacy", "modern"); timeout (seconds without an answer);
 * replica (true: equal servers of this name on other nodes hold the same data); uniform (true: it
 * shows all clients the same lists, and is not asked otherwise: upstream_survey.h); tools (names:
 * only these are offered); disabled (true: skipped). Other keys are other programs' and ignored, as
 * in every client; a known key of a wrong type is an error. Placeholders such as ${env:X} are not
 * expanded: the text stays as it is. */
#ifndef SERVERFILE_H
#define SERVERFILE_H

#include "node/mcp/upstream/upstream_config.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

#define SERVERFILE_SIZE_MAX 1048576 /* bytes */

struct serverfile {
    const struct upstream_config *servers; /* in the order of the file */
    uint32_t servers_count;
};

/* Reads [text], whose [origin] (a path) goes into messages. Everything is in [arena]. MN_CONFIG:
 * nothing was read, and [why] names the file, the server, the key, and what to do. */
MN_MUST_USE mn_status serverfile_read(struct mn_span origin, struct mn_span text,
                                      struct mn_arena *arena, struct serverfile *ret,
                                      struct mn_span *why);

/* One server from the command line: 'NAME=COMMAND ARGS' (words split at blanks; quotes '...' and
 * "..." keep them) or 'NAME=http://...'. Errors as above, without a file. */
MN_MUST_USE mn_status serverfile_read_option(struct mn_span option, struct mn_arena *arena,
                                             struct upstream_config *ret, struct mn_span *why);

#endif
