/* upstream_list.h: drains the lists of a server (tools, prompts, resources, resource templates),
 * one after the other and each over its pages, and makes its offer of them. Bounds:
 * UPSTREAM_TOOLS_MAX items of each kind, UPSTREAM_OFFER_MAX bytes in all. A cursor that comes back
 * ends a list. */
#ifndef UPSTREAM_LIST_H
#define UPSTREAM_LIST_H

#include "node/json/json.h"
#include "node/mcp/wire/param_headers.h"
#include "proto/base/buf.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_LIST_PAGES_MAX 1000
#define UPSTREAM_CURSOR_MAX 65536 /* bytes of a cursor's JSON text */
#define UPSTREAM_INSTRUCTIONS_MAX 65536
#define UPSTREAM_TOOL_NAME_MAX 256
#define UPSTREAM_ITEM_KEY_MAX 4096 /* bytes of a prompt's name, a URI, a template */

struct upstream;
struct jsonrpc_message;

/* In the order they are asked for. */
enum upstream_list_kind {
    UPSTREAM_LIST_TOOLS = 0,
    UPSTREAM_LIST_PROMPTS,
    UPSTREAM_LIST_RESOURCES,
    UPSTREAM_LIST_TEMPLATES,
    UPSTREAM_LISTS
};

/* One tool by its name: found when it is called. */
struct upstream_tool {
    struct mn_map_entry by_name;
    struct mn_span name;
    struct param_headers params;
    bool needs_task; /* it only runs as a task (2025-11-25) */
};

/* The tools of a complete list. Zero-initialised is none. */
struct upstream_tools {
    struct mn_arena arena;
    struct mn_map names;
    uint32_t count, dropped_count;
};

/* What is not a tool, as far as it has come. */
struct upstream_items {
    Meshnode__Gateway__Item **rows;
    uint32_t count, capacity;
    struct mn_map keys;
};

/* Lists being drained. Zero-initialised is idle. */
struct upstream_list {
    bool is_active;
    enum upstream_list_kind kind; /* the one being drained */
    bool is_faulty;               /* something was noted about it */
    bool is_stale;                /* it changed meanwhile: drain it again */
    bool is_survey;               /* as clients with some capabilities see it: upstream_survey.h */
    struct mn_arena arena;
    Meshnode__Gateway__Tool **tools;
    uint32_t tools_capacity;
    struct upstream_tools found;
    struct upstream_items items[UPSTREAM_LISTS]; /* [UPSTREAM_LIST_TOOLS] stays empty */
    struct mn_span *cursors;                     /* JSON texts seen of this kind */
    uint32_t cursors_count, cursors_capacity;
    size_t size; /* bytes of the definitions so far */
};

void upstream_tools_done(struct upstream_tools *tools);
const struct upstream_tool *upstream_tools_find(const struct upstream_tools *tools,
                                                struct mn_span name);

/* "tools/list" and so on. */
const char *upstream_list_method(enum upstream_list_kind kind);

/* Asks for the first page; while lists are being drained it only marks them stale. */
void upstream_list_start(struct upstream *server);

/* The same for a survey, of a server whose lists are not being drained. */
void upstream_list_survey(struct upstream *server);

/* A page came, or (message NULL, HTTP) no message but the status [code]. */
void upstream_list_on_page(struct upstream *server, const struct jsonrpc_message *message,
                           uint32_t code);
void upstream_list_drop(struct upstream_list *list);

#endif
