#include "node/io/run.h"

#include <stdio.h>
#include <unistd.h>

#include "crypto/token.h"
#include "node/io/process.h"
#include "node/io/run_internal.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

void run_end(struct run *run, int exit_code)
{
    if (run->exit_code == 0) run->exit_code = exit_code;
    io_stop(run->io);
}

/* ---- what the node wants ---- */

static const char *run_join_address(const struct run *run)
{
    return run->advertised_count > 0 ? run->advertised[0] : run->mesh_bound[0];
}

/* The one moment at which somebody can copy the token of a new mesh from the screen. A file or a
 * journal gets its id only. */
static void run_announce_mesh(struct run *run, struct mn_span token_text)
{
    struct token token;
    struct core_self self = core_self(node_core(run->node));
    char mesh_id[MN_ID_TEXT_SIZE], token_id_text[TOKEN_ID_TEXT_SIZE];
    const char *seed = run_join_address(run);
    if (token_decode(token_text, &token) != MN_OK || !token.has_secret) return;
    mn_id id = token_id(&token);
    token_done(&token);
    token_id_format(&id, token_id_text);
    mn_id_format(&self.mesh_id, mesh_id);
    if (!isatty(STDERR_FILENO)) {
        RUN_LOG(run, INFO, "mesh.new",
                "NEW MESH %s; to join it: meshnode --join %s --token @FILE; token %s is in %s",
                mesh_id, seed, token_id_text, files_path(run->files, "join-token"));
        return;
    }
    fprintf(stderr,
            "\n  NEW MESH %s\n  to join it from another host:\n"
            "    meshnode --join %s --token %.*s\n\n",
            mesh_id, seed, (int)token_text.size, (const char *)token_text.data);
}

/* A mesh that was founded with a token made before it: who has the file can join. */
static void run_announce_given(struct run *run)
{
    const char *given = options_text(run->options, CONFIG_MESH_TOKEN);
    struct core_self self = core_self(node_core(run->node));
    char mesh_id[MN_ID_TEXT_SIZE];
    if (given[0] == '\0') return;
    RUN_LOG(run, INFO, "mesh.new", "NEW MESH %s; to join it: meshnode --join %s --token %s",
            mn_id_format(&self.mesh_id, mesh_id), run_join_address(run),
            given[0] == '@' ? given : "@FILE, with the token given here");
}

static void run_write_secret(struct run *run, const struct edge_output *output)
{
    char name[64];
    struct files_error error;
    struct mn_span bytes = output->bytes.size > 0 ? output->bytes : mn_span(NULL, 0);
    snprintf(name, sizeof name, "%.*s", (int)output->text.size, (const char *)output->text.data);
    if (files_write(run->files, name, bytes, &error) != MN_OK) {
        RUN_LOG(run, ERROR, "files.failed", "%s", error.text);
        run_end(run, RUN_FATAL);
        return;
    }
    if (bytes.size == 0) return;
    if (strcmp(name, "join-token") == 0) {
        run_announce_mesh(run, bytes);
    } else if (strcmp(name, "root.key") == 0) {
        RUN_LOG(run, WARN, "mesh.root_key",
                "the root key of this mesh is in %s: keep two copies elsewhere and delete it here",
                files_path(run->files, name));
        run_announce_given(run);
    }
}

static void run_on_end(struct run *run, const struct edge_output *output)
{
    if (output->type == EDGE_OUT_FATAL)
        RUN_LOG(run, ERROR, "node.fatal", "%.*s", (int)output->text.size,
                (const char *)output->text.data);
    run_end(run, (int)output->code);
}

static void run_carry_out(void *owner, const struct edge_output *output)
{
    struct run *run = owner;
    switch (output->type) {
    case EDGE_OUT_NET_DIAL:
    case EDGE_OUT_NET_SEND:
    case EDGE_OUT_NET_PAUSE:
    case EDGE_OUT_NET_CLOSE: net_do(run->net, output); break;
    case EDGE_OUT_HTTP_HEAD:
    case EDGE_OUT_HTTP_BODY:
    case EDGE_OUT_HTTP_PAUSE:
    case EDGE_OUT_HTTP_ABORT: http_do(run->http, output); break;
    case EDGE_OUT_FETCH_START:
    case EDGE_OUT_FETCH_PAUSE:
    case EDGE_OUT_FETCH_CANCEL: fetch_do(run->fetch, output); break;
    case EDGE_OUT_CHILD_START:
    case EDGE_OUT_CHILD_WRITE:
    case EDGE_OUT_CHILD_PAUSE:
    case EDGE_OUT_CHILD_STOP: child_do(run->child, output); break;
    case EDGE_OUT_WRITE: store_do(run->store, output); break;
    case EDGE_OUT_LOG: seglog_do(run->seglog, output); break;
    case EDGE_OUT_SECRET: run_write_secret(run, output); break;
    case EDGE_OUT_STOPPED:
    case EDGE_OUT_FATAL: run_on_end(run, output); break;
    }
}

/* ---- the loop's hooks ---- */

static void run_step(void *owner, struct mn_now now, const struct edge_input *input,
                     struct edge_outbox *outbox)
{
    struct run *run = owner;
    if (input->type == EDGE_IN_RECOVERED && !run->is_log_read) {
        run->is_store_read = true; /* run_on_log_recovered() gives it */
        return;
    }
    node_step(run->node, now, input, outbox);
    if (input->type == EDGE_IN_RECOVERED) process_notify("READY=1");
}

static mn_time run_deadline(void *owner)
{
    return node_deadline(((struct run *)owner)->node);
}

static void run_stepped(void *owner)
{
    struct run *run = owner;
    const struct mn_trace_event *event;
    while ((event = mn_trace_take(&run->trace)) != NULL)
        log_event(run->log, io_now(run->io), event);
}

static void run_turn_end(void *owner)
{
    struct run *run = owner;
    run->turns_count++;
    seglog_flush(run->seglog); /* first: what it makes durable may be written to the store */
    store_flush(run->store);
}

static void run_on_log_recovered(void *owner)
{
    struct run *run = owner;
    run->is_log_read = true;
    if (run->is_store_read) io_input(run->io, &(struct edge_input){.type = EDGE_IN_RECOVERED});
}

static void run_on_log_failed(void *owner, enum seglog_failure failure, const char *text)
{
    struct run *run = owner;
    RUN_LOG(run, ERROR, "log.failed", "%s", text);
    run_end(run, failure == SEGLOG_UNAVAILABLE ? RUN_UNAVAILABLE : RUN_FATAL);
}

static void run_on_store_failed(void *owner, enum store_failure failure, const char *text)
{
    struct run *run = owner;
    RUN_LOG(run, ERROR, "store.failed", "%s", text);
    run_end(run, failure == STORE_UNAVAILABLE ? RUN_UNAVAILABLE : RUN_FATAL);
}

/* ---- life ---- */

static void run_open_log(struct run *run)
{
    static const enum mn_level levels[] = {MN_LEVEL_DEBUG, MN_LEVEL_INFO, MN_LEVEL_WARN,
                                           MN_LEVEL_ERROR};
    const char *level = options_text(run->options, CONFIG_LOG_LEVEL);
    bool is_json = strcmp(options_text(run->options, CONFIG_LOG_FORMAT), "json") == 0;
    struct log_config config = {MN_LEVEL_INFO, is_json ? LOG_JSON : LOG_TEXT, STDERR_FILENO};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(level, log_level_name(levels[i])) == 0) config.level = levels[i];
    run->log = log_new(&config);
}

static void run_on_slow_reader(void *context, const char *address, size_t held, uint64_t count)
{
    struct run *run = context;
    log_line(run->log, io_now(run->io), MN_LEVEL_WARN, "http.slow_reader",
             "client=%s unread_bytes=%zu count=%llu connection cut: it does not read its answers",
             address[0] == '\0' ? "local" : address, held, (unsigned long long)count);
}

static void run_open_wrappers(struct run *run)
{
    const struct net_config net_config = {.accepted_max = 4096};
    const struct store_config store_config = {files_path(run->files, "store"), run,
                                              run_on_store_failed};
    struct seglog_config log_config = {
        .owner = run, .recovered = run_on_log_recovered, .failed = run_on_log_failed};
    struct http_config http_config;
    struct fetch_config fetch_config;
    struct child_config child_config;
    http_config_default(&http_config);
    http_config.on_slow = run_on_slow_reader;
    http_config.on_slow_context = run;
    fetch_config_default(&fetch_config);
    child_config_default(&child_config);
    run->store = store_new(run->io, &store_config); /* first: it opens while the rest starts */
    log_config.path = files_path(run->files, "log");
    run->seglog = seglog_new(run->io, &log_config);
    run->net = net_new(run->io, &net_config);
    run->http = http_new(run->io, &http_config);
    run->fetch = fetch_new(run->io, &fetch_config);
    run->child = child_new(run->io, &child_config);
}

static void run_close(struct run *run)
{
    run_unwatch_signals(run);
    run_unwatch_root(run);
    run_unwatch_memory(run);
    seglog_close(run->seglog);
    store_close(run->store);
    http_close(run->http);
    net_close(run->net);
    fetch_close(run->fetch);
    child_close(run->child);
    io_free(run->io);
    node_free(run->node);
}

static void run_serve(struct run *run)
{
    io_run(run->io);
    struct files_error error;
    if (files_write(run->files, "run.json", mn_span(NULL, 0), &error) != MN_OK)
        RUN_LOG(run, WARN, "files.failed", "%s", error.text);
}

static int run_start(struct run *run, struct run_texts *texts)
{
    int code = run_open_data(run);
    if (code == 0) code = run_read_texts(run, texts);
    if (code != 0 || run->is_stopping) return code;
    run_open_wrappers(run);
    code = run_listen(run);
    if (code == 0) code = run_make_node(run, texts);
    if (code == 0) code = run_write_state(run);
    return code;
}

static int run_node(struct run *run)
{
    const struct io_config config = {run,           run_step,    run_deadline,
                                     run_carry_out, run_stepped, run_turn_end};
    struct run_texts texts = {0};
    run->io = io_new(&config);
    run_watch_signals(run);
    run_watch_root(run);
    run_watch_memory(run, RUN_MEMORY_LOOK_MS);
    int code = run_start(run, &texts);
    run_texts_done(&texts);
    if (code == 0 && !run->is_stopping) {
        run_serve(run);
        code = run->exit_code;
        RUN_LOG(run, INFO, "node.stopped", "exit code %d", code);
    }
    run_close(run);
    return code;
}

int run(const struct options *options, const char *config_path)
{
    struct run *run = mn_alloc(sizeof *run);
    run->options = options;
    run->config_path = config_path;
    mn_trace_init(&run->trace, run->ring, RUN_TRACE_SIZE);
    process_harden(options_bool(options, CONFIG_DEV));
    run_open_log(run);
    int code = run_node(run);
    files_close(run->files);
    log_free(run->log);
    mn_free(run);
    return code;
}
