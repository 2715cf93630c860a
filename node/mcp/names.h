/* names.h: what the mesh offers, as clients see it: services by name, the aggregated table of tools
 * under prefixed names, and the answers to tools/list, kept ready as bytes.
 *
 * A tool is called server__tool, with `_` for every character outside [A-Za-z0-9_-]. Where that is
 * longer than 64 characters, or two tools would share it, each of them is called by its first 55
 * characters, `_`, and 8 hex digits of H(service, tool). So a name depends on the set of tools
 * alone, never on the order they came in: all nodes that know the same set list the same bytes. It
 * is looked up in the table, never taken apart.
 *
 * Services that are not listed can be called under names made the same way, as far as listed tools
 * leave them free. Offers come from other nodes, so everything in them is judged: a tool that is no
 * valid tool is dropped and counted. */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "node/json/json.h"
#include "node/mcp/upstream_headers.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"
#include "proto/call.h"

#define NAMES_TOOL_MAX 64            /* characters of a listed name */
#define NAMES_SERVICES_MAX 16384     /* more are ignored and counted */
#define NAMES_SERVICE_TOOLS_MAX 5000 /* per service; more are dropped and counted */
#define NAMES_DIGEST_SIZE 16

enum names_era { NAMES_LEGACY = 0, NAMES_MODERN, NAMES_ERAS };

struct names_tool {
    struct mn_map_entry by_exposed, by_own;
    struct names_service *service;
    struct mn_span exposed;    /* as clients of /mcp call it; empty: they cannot */
    struct mn_span own;        /* as its server calls it */
    struct mn_span definition; /* JSON object, as the server listed it */
    bool is_idempotent;        /* may be executed again when its outcome is unknown */
    bool is_ambiguous;         /* scratch of a rebuild: shares its plain name with another tool */
    struct upstream_params params; /* arguments that modern clients must repeat in headers */
};

struct names_service {
    struct mn_map_entry by_name;
    struct mn_span name; /* behind this struct */
    bool is_listed, is_conflict;
    uint32_t providers_count;
    struct mn_span server_info;  /* JSON object */
    struct mn_span instructions; /* text, may be empty */
    bool has_tools;              /* declares the capability */
    struct names_tool *tools;    /* in the server's order; their texts and those above follow */
    uint32_t tools_count;
    struct mn_map tools_by_own;
    struct mn_arena params_arena;      /* names_tool.params, which few tools have */
    uint8_t digest[NAMES_DIGEST_SIZE]; /* of the tools */
    struct mn_buf *lists[NAMES_ERAS];  /* results of tools/list, made when first asked for */
};

struct names {
    struct mn_map services;
    struct mn_map tools;        /* by exposed name */
    struct names_tool **listed; /* in the order of the aggregated list */
    uint32_t listed_count;
    uint8_t digest[NAMES_DIGEST_SIZE]; /* of the aggregated list */
    struct mn_buf *lists[NAMES_ERAS];
    bool is_stale; /* the table is older than the services */
    uint64_t dropped_count;
    struct json_parser *parser; /* borrowed */
    struct mn_arena arena;      /* exposed names and the order, until the next rebuild */
    struct mn_arena scratch;
    uint64_t seed;
};

/* [parser] is borrowed; [seed] is for hash tables. */
void names_init(struct names *names, struct json_parser *parser, uint64_t seed);
void names_done(struct names *names);

/* A service came, changed or went. Pointers into the old one die. */
void names_on_service(struct names *names, const struct call_service *service);

/* All of these bring the table up to date first. NULL: there is no such thing. */
struct names_service *names_service(struct names *names, struct mn_span name);
struct names_tool *names_tool(struct names *names, struct mn_span exposed);
uint32_t names_listed(struct names *names, struct names_tool ***ret);

/* A tool of [service] by its own name. */
struct names_tool *names_service_tool(struct names_service *service, struct mn_span own);

/* The result of tools/list: a JSON object, of all listed tools (service == NULL) or of one service.
 * Borrowed until the next change. */
struct mn_span names_list(struct names *names, struct names_service *service, enum names_era era);

/* Changes when, and only when, that list does. A name without service has the digest zero. */
void names_digest(struct names *names, struct mn_span service_name, uint8_t ret[NAMES_DIGEST_SIZE]);

#endif
