/* ctl.h: meshctl's inside. One table (commands.c) names every command with its arguments, options
 * and help; parsing, --help, the man page and shell completion all come from it, so they cannot
 * drift. */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/json/json.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/memory.h"

/* Exit codes; `check` alone uses 0, 1, 2, 3 as Nagios does. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
    CTL_DENIED = 4,
    CTL_NOT_FOUND = 5,
    CTL_CONFLICT = 6,
    CTL_TIMEOUT = 7,
    CTL_PARTIAL = 8
};

enum ctl_format {
    CTL_TABLE = 0,
    CTL_WIDE,
    CTL_JSON,
    CTL_JSONL,
    CTL_PLAIN /* tab-separated, no header */
};

#define CTL_ARGS_MAX 64
#define CTL_VALUES_MAX 64

struct ctl_option {
    const char *name;  /* "--count" */
    const char *value; /* what it takes, "N"; NULL: it is a flag */
    const char *help;
};

struct ctl;

struct ctl_command {
    const char *words; /* "nodes wait" */
    const char *args;  /* "ID", "[NAME]", "" */
    int args_min, args_max;
    const char *help;
    int (*run)(struct ctl *ctl);
    struct ctl_option options[6]; /* ends with a zero */
};

struct ctl_value {
    const char *name, *value;
};

/* One invocation. */
struct ctl {
    const struct ctl_command *command;
    const char *args[CTL_ARGS_MAX];
    int args_count;
    char **rest; /* what follows `--`, NULL-terminated; NULL: nothing does */
    struct ctl_value values[CTL_VALUES_MAX];
    int values_count;

    enum ctl_format format;
    const char *socket, *data, *server, *token_file;
    char socket_path[4096]; /* once it is known */
    unsigned timeout_ms;    /* of one request; 0: none */
    bool is_quiet, is_verbose, is_watching, is_following, has_colour;

    struct mn_arena arena;
    struct json_parser *parser;
};

/* commands.c */
extern const struct ctl_command ctl_commands[];
extern const struct ctl_option ctl_global_options[];

/* parse.c: fills [ctl]. CTL_OK, or CTL_USAGE with the reason told on stderr. */
int ctl_parse(struct ctl *ctl, int argc, char **argv);
/* Value of an option of the command; NULL: not given. A flag's value is "". */
const char *ctl_value(const struct ctl *ctl, const char *name);
/* "1500ms", "5s", "2m", "1h", "7d" to milliseconds. */
bool ctl_parse_duration(const char *text, uint64_t *ret_ms);

/* help.c */
void ctl_help(const struct ctl_command *command); /* NULL: of the whole */
void ctl_man(void);
int ctl_completion(struct ctl *ctl);

/* http.c: one request to the node. */
struct ctl_request {
    const char *method, *path;
    struct mn_span body;        /* JSON, may be empty */
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    /* Called with each piece of the answer instead of keeping it; NULL: it is kept. False: stop. */
    bool (*on_bytes)(struct ctl *ctl, struct mn_span bytes, void *context);
    void *context;
};

struct ctl_answer {
    long status;         /* of HTTP */
    struct mn_buf *body; /* the caller's ref */
    char session[256];   /* mcp-session-id, if there was one */
    bool is_sse;
};

/* CTL_OK: there was an answer, whatever it says. Else CTL_UNREACHABLE or CTL_TIMEOUT, told. */
int ctl_http(struct ctl *ctl, const struct ctl_request *request, struct ctl_answer *ret);
/* Finds the node's socket: --socket, --data, or the default data directory. */
const char *ctl_socket_path(struct ctl *ctl);

/* GET [path] and its JSON. An error answer is told, and its exit code returned. */
int ctl_get(struct ctl *ctl, const char *path, const struct json **ret);
/* The same with a method and a body. */
int ctl_do(struct ctl *ctl, const char *method, const char *path, struct mn_span body,
           const struct json **ret);
/* Tells an error: `code`, text for people, and the next command to try. Returns [exit_code]. */
int ctl_error(const struct ctl *ctl, int exit_code, const char *code, const char *hint,
              const char *format, ...) __attribute__((format(printf, 5, 6)));
const struct json *ctl_parse_json(struct ctl *ctl, struct mn_span text);

/* table.c: a list of objects as people or programs want it. */
struct ctl_column {
    const char *title, *key; /* key: "link.rtt_ms" looks inside */
    enum { CTL_AS_TEXT = 0, CTL_AS_ID, CTL_AS_MS, CTL_AS_AGE, CTL_AS_BOOL } as;
    bool is_wide; /* only with -o wide */
};

/* Prints root.items; JSON formats print [root] as it came. */
void ctl_print_list(const struct ctl *ctl, const struct json *root,
                    const struct ctl_column *columns, size_t columns_count);
void ctl_print_json(const struct json *value);
/* A member by path "a.b", as text for people, into [buffer]. */
const char *ctl_text(const struct json *object, const struct ctl_column *column, char *buffer,
                     size_t size);
/* Members by path. */
const struct json *ctl_find(const struct json *object, const char *path);
bool ctl_is_true(const struct json *object, const char *path);
long long ctl_number(const struct json *object, const char *path);
struct mn_span ctl_string(const struct json *object, const char *path);

/* Runs [once] every two seconds with a cleared screen; only once without --watch. */
int ctl_watch(struct ctl *ctl, int (*once)(struct ctl *ctl));

/* The commands, by area. */
int ctl_status(struct ctl *ctl);
int ctl_nodes(struct ctl *ctl);
int ctl_nodes_show(struct ctl *ctl);
int ctl_nodes_wait(struct ctl *ctl);
int ctl_tools(struct ctl *ctl);
int ctl_tools_show(struct ctl *ctl);
int ctl_tools_find(struct ctl *ctl);
int ctl_call(struct ctl *ctl);
int ctl_servers(struct ctl *ctl);
int ctl_servers_show(struct ctl *ctl);
int ctl_servers_add(struct ctl *ctl);
int ctl_servers_rm(struct ctl *ctl);
int ctl_servers_restart(struct ctl *ctl);
int ctl_servers_logs(struct ctl *ctl);
int ctl_route(struct ctl *ctl);
int ctl_token_create(struct ctl *ctl);
int ctl_token_ls(struct ctl *ctl);
int ctl_token_revoke(struct ctl *ctl);
int ctl_events(struct ctl *ctl);
int ctl_check(struct ctl *ctl);
int ctl_client(struct ctl *ctl);
int ctl_doctor(struct ctl *ctl);
int ctl_version(struct ctl *ctl);

#endif
