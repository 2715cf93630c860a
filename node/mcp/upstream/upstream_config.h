/* upstream_config.h: what a person says about one MCP server, as the node takes it: a child process
 * (argv) or a Streamable HTTP endpoint (url), exactly one of them. */
#ifndef UPSTREAM_CONFIG_H
#define UPSTREAM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "node/edge.h"
#include "proto/base/bytes.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/call.h"

#define UPSTREAM_NAME_MAX 64        /* bytes of a server name */
#define UPSTREAM_ARGV_MAX 1024      /* words of a command line */
#define UPSTREAM_ENV_MAX 1024       /* variables; the same bound for headers and exported tools */
#define UPSTREAM_CONFIG_MAX 131072  /* bytes of all texts of one server */
#define UPSTREAM_URL_MAX 8192       /* bytes */
#define UPSTREAM_TIMEOUT_MAX MN_DAY /* of any timeout */
#define UPSTREAM_PROBE_TIMEOUT (2 * MN_SEC)
#define UPSTREAM_HANDSHAKE_TIMEOUT (30 * MN_SEC)

enum upstream_era { UPSTREAM_ERA_AUTO = 0, UPSTREAM_ERA_LEGACY, UPSTREAM_ERA_MODERN };

struct upstream_config {
    struct mn_span name; /* [A-Za-z0-9_-]{1,64} */

    const struct mn_span *argv; /* a child; argv[0] is looked up in PATH */
    uint32_t argv_count;
    const struct edge_header *env; /* values are secret: never listed, compared or sent anywhere */
    uint32_t env_count;
    struct mn_span cwd; /* empty: the node's own */

    struct mn_span url;                /* http:// or https://, without userinfo and fragment */
    const struct edge_header *headers; /* sent with every request; values are secret */
    uint32_t headers_count;

    enum upstream_era era;       /* AUTO: found out by asking */
    bool is_replica;             /* equal servers of this name on other nodes hold the same data */
    bool is_uniform;             /* all clients see the same lists: it is asked for them once */
    const struct mn_span *tools; /* only these are offered; none given: all of them */
    uint32_t tools_count;
    mn_time probe_timeout;     /* 0: UPSTREAM_PROBE_TIMEOUT; silence means legacy (children) */
    mn_time handshake_timeout; /* 0: UPSTREAM_HANDSHAKE_TIMEOUT; each step until it is ready */
    mn_time call_timeout;      /* a call without any event for so long is given up; 0: never here */
};

/* MN_OK, or MN_CONFIG and in [why] what is wrong and how to say it right (in [arena]). */
MN_MUST_USE mn_status upstream_config_check(const struct upstream_config *config,
                                            struct mn_arena *arena, struct mn_span *why);

/* A deep copy in one block of mn_alloc(); mn_free() lets go of it. */
struct upstream_config *upstream_config_copy(const struct upstream_config *config);

/* Two configurations a server need not be restarted for. */
bool upstream_config_equal(const struct upstream_config *a, const struct upstream_config *b);

/* Servers of one name with equal offers are replicas when these agree: all marked so, whatever
 * their URLs are, or none, with the same URL. Zero: never a replica. */
void upstream_config_replica_key(const struct upstream_config *config, uint8_t ret[CALL_KEY_SIZE]);

/* The command line, or the URL without its query: for people, without secrets. */
struct mn_span upstream_config_target(const struct upstream_config *config, struct mn_arena *arena);

#endif
