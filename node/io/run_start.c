/* From options to a node that may be stepped: data directory, token, identity, configuration of the
 * cores. What can be wrong with a start is found and said here. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto/token.h"
#include "node/io/process.h"
#include "node/io/run_internal.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

#define RUN_TOKEN_FILE_MAX 4096
#define RUN_TOKEN_WAIT_US 200000 /* between looks for a token file that is still to come */

/* ---- data directory ---- */

int run_open_data(struct run *run)
{
    struct files_error error;
    mn_status status =
        files_open(options_text(run->options, CONFIG_NODE_DATA), &run->files, &error);
    if (status == MN_OK) /* what a killed process left would name the wrong one */
        status = files_write(run->files, "run.json", mn_span(NULL, 0), &error);
    if (status == MN_OK) {
        run->is_first = !files_exists(run->files, "store/CURRENT"); /* RocksDB's last step */
        return 0;
    }
    RUN_LOG(run, ERROR, "data.failed", "%s%s", error.text,
            strstr(error.text, "--data") != NULL ? "" : "; choose another with --data");
    return status == MN_DENIED ? RUN_REFUSED : RUN_UNAVAILABLE;
}

/* ---- token and identity ---- */

/* Waits for the file only before the first start: later the node mostly is a member without it. */
static int run_read_token_file(struct run *run, const char *path, struct mn_buf **ret)
{
    bool is_required = options_bool(run->options, CONFIG_MESH_JOIN_REQUIRED), has_said = false;
    mn_time start = io_now(run->io).mono;
    for (;;) {
        mn_status status = files_read(path, RUN_TOKEN_FILE_MAX, ret);
        if (status == MN_OK && (*ret)->size > 0) return 0;
        *ret = mn_buf_unref(*ret);
        if (status != MN_OK && status != MN_NOT_FOUND) {
            RUN_LOG(run, ERROR, "token.failed", "%s: %s", path,
                    status == MN_TOO_BIG ? "too large for a token" : strerror(errno));
            return RUN_CONFIG;
        }
        if (!run->is_first) {
            RUN_LOG(run, INFO, "token.missing", "no token in %s: a member needs none", path);
            return 0;
        }
        if (!has_said)
            RUN_LOG(run, WARN, "token.waiting",
                    "waiting for a token in %s, where none is yet: make one at a member (meshctl "
                    "token create), and write it there",
                    path);
        has_said = true;
        if (is_required && io_now(run->io).mono - start > 30 * MN_SEC) return RUN_NOT_JOINED;
        uv_run(io_uv(run->io), UV_RUN_NOWAIT); /* a signal ends the waiting */
        if (run->is_stopping) return 0;
        usleep(RUN_TOKEN_WAIT_US);
    }
}

static mn_status run_take_token(struct run_texts *texts, struct mn_buf *buf)
{
    struct mn_span text = mn_buf_span(buf);
    struct token token;
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL)
        text.size--;
    mn_status status = token_decode(text, &token);
    if (status != MN_OK) return status;
    token_done(&token);
    MN_ASSERT(text.size <= sizeof texts->token_text);
    memcpy(texts->token_text, text.data, text.size);
    texts->token = mn_span(texts->token_text, text.size);
    return MN_OK;
}

/* texts->token; empty: none. */
static int run_find_token(struct run *run, struct run_texts *texts)
{
    const char *text = options_text(run->options, CONFIG_MESH_TOKEN);
    struct mn_buf *buf = NULL;
    texts->token = mn_span_str(text);
    if (text[0] != '@') return 0;
    texts->token = (struct mn_span){0};
    int code = run_read_token_file(run, text + 1, &buf);
    if (code != 0 || buf == NULL) return code;
    mn_status status = run_take_token(texts, buf);
    explicit_bzero(buf->bytes, buf->size);
    mn_buf_unref(buf);
    if (status == MN_OK) return 0;
    RUN_LOG(run, ERROR, "token.failed", "%s: %s", text + 1,
            status == MN_BAD_SIGNATURE ? "mistyped, its check characters are wrong"
                                       : "not a token (mnt1-...) or pin (mnp1-...)");
    return RUN_CONFIG;
}

static int run_load_identity(struct run *run, uint8_t *seed)
{
    uint8_t fresh[IDENTITY_SEED_SIZE];
    struct files_error error;
    bool is_new = false;
    process_random(fresh, sizeof fresh);
    mn_status status =
        files_secret(run->files, "identity.key", fresh, sizeof fresh, seed, &is_new, &error);
    sodium_memzero(fresh, sizeof fresh);
    run->is_identity_old = !is_new;
    if (status == MN_OK) return 0;
    RUN_LOG(run, ERROR, "identity.failed", "%s", error.text);
    return status == MN_DENIED ? RUN_REFUSED : RUN_UNAVAILABLE;
}

/* ---- the node ---- */

static struct mn_span *run_list(struct run *run, struct run_texts *texts, enum config_option option,
                                uint32_t *ret_count)
{
    const struct option_value *value = &run->options->values[option];
    struct mn_span *items = mn_arena_alloc(&texts->arena, (value->items_count + 1) * sizeof *items);
    for (uint32_t i = 0; i < value->items_count; i++)
        items[i] = mn_span_str(value->items[i]);
    *ret_count = value->items_count;
    return items;
}

/* A first start whose every seed is this node itself would wait for ever. */
static bool run_joins_only_itself(struct run *run, const struct run_texts *texts)
{
    if (!run->is_first || texts->seeds_count == 0) return false;
    if (options_bool(run->options, CONFIG_MESH_BOOTSTRAP)) return false;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    for (uint32_t i = 0; i < texts->seeds_count; i++) {
        bool is_own = false;
        char alias[RUN_ADVERTISED_SIZE];
        for (uint32_t j = 0; j < run->advertised_count; j++)
            is_own = is_own || mn_span_is(texts->seeds[i], run->advertised[j]);
        for (uint32_t j = 0; j < run->mesh_bound_count; j++) {
            const char *port = strrchr(run->mesh_bound[j], ':');
            snprintf(alias, sizeof alias, "%s%s", host, port);
            is_own = is_own || mn_span_is(texts->seeds[i], alias) ||
                     mn_span_is(texts->seeds[i], run->mesh_bound[j]);
        }
        if (!is_own) return false;
    }
    return true;
}

/* Founding writes a new root key, and the one that is there may be the only copy. */
static bool run_would_lose_root(struct run *run, const struct run_texts *texts)
{
    bool founds = texts->seeds_count == 0 || options_bool(run->options, CONFIG_MESH_BOOTSTRAP);
    return run->is_first && founds && files_exists(run->files, "root.key");
}

/* The root key of `authority recover`, in a file of 32 bytes. */
static bool run_read_root(struct run *run, struct run_texts *texts)
{
    const char *path = options_text(run->options, CONFIG_AUTHORITY_ROOT);
    struct mn_buf *bytes = NULL;

    if (path[0] == '\0') return true;
    if (files_read(path, sizeof texts->root, &bytes) != MN_OK ||
        bytes->size != sizeof texts->root) {
        fprintf(stderr, "meshnode: %.200s: not a root key of 32 bytes that can be read\n", path);
        mn_buf_unref(bytes);
        return false;
    }
    memcpy(texts->root, bytes->bytes, sizeof texts->root);
    sodium_memzero(bytes->bytes, bytes->size);
    mn_buf_unref(bytes);
    texts->has_root = true;
    return true;
}

static void run_fill_core(struct run *run, struct run_texts *texts, struct core_config *core)
{
    const struct options *options = run->options;
    grant_role role = MESHNODE__TRUST__ROLE__ROLE_AUTO;
    mn_status status =
        grant_role_parse(mn_span_str(options_text(options, CONFIG_NODE_ROLE)), &role);
    MN_ASSERT(status == MN_OK); /* the option's choices are the roles */
    process_random(core->seed, sizeof core->seed);
    core->name = mn_span_str(options_text(options, CONFIG_NODE_NAME));
    core->region = mn_span_str(options_text(options, CONFIG_NODE_REGION));
    core->zone = mn_span_str(options_text(options, CONFIG_NODE_ZONE));
    core->version = mn_span_str(MN_VERSION);
    core->role = role;
    core->weight = config_weight(options);
    for (uint32_t i = 0; i < run->advertised_count; i++)
        texts->addresses[i] = mn_span_str(run->advertised[i]);
    core->addresses = texts->addresses;
    core->addresses_count = run->advertised_count;
    core->seeds = texts->seeds;
    core->seeds_count = texts->seeds_count;
    core->token = texts->token;
    core->is_join_required = options_bool(options, CONFIG_MESH_JOIN_REQUIRED);
    core->is_identity_old = run->is_identity_old;
    core->bootstrap = options_bool(options, CONFIG_MESH_BOOTSTRAP);
    core->dev = options_bool(options, CONFIG_DEV);
    core->root = texts->has_root ? texts->root : NULL;
    core->policies = run_list(run, texts, CONFIG_CONSENSUS_POLICY, &core->policies_count);
    core->no_growth = !options_bool(options, CONFIG_AUTHORITY_GROW);
    core->grant_ttl_ms = options_duration(options, CONFIG_AUTHORITY_GRANT_TTL) / MN_MS;
}

static void run_fill_edges(struct run *run, struct run_texts *texts, struct node_config *config)
{
    process_random(texts->mcp_seed, sizeof texts->mcp_seed);
    config->mcp.seed = texts->mcp_seed;
    config->mcp.bearers = run_list(run, texts, CONFIG_HTTP_AUTH_BEARER, &config->mcp.bearers_count);
    config->mcp.hosts = run_list(run, texts, CONFIG_HTTP_HOSTS, &config->mcp.hosts_count);
    config->admin.is_dev = options_bool(run->options, CONFIG_DEV);
    config->admin.allows_remote_exec = options_bool(run->options, CONFIG_ADMIN_REMOTE_EXEC);
    config->admin.settings = run_settings(run->options, &texts->arena);
    if (run->http_bound_count > 0) config->admin.http_listen = mn_span_str(run->http_bound[0]);
    config->mesh_writes = strcmp(options_text(run->options, CONFIG_MCP_MESH_TOOLS), "write") == 0;
    config->is_proxied = options_bool(run->options, CONFIG_HTTP_BEHIND_PROXY);
    servers_fill(&texts->servers, config);
    config->trace = &run->trace;
}

/* The identity passes through locked memory; the node keeps what it derives from it. */
static int run_build(struct run *run, struct run_texts *texts)
{
    struct node_config *config = sodium_malloc(sizeof *config);
    struct mn_span why = {0};
    MN_ASSERT(config != NULL);
    node_config_default(config);
    int code = run_load_identity(run, config->core.identity_seed);
    if (code == 0 && run_joins_only_itself(run, texts)) {
        RUN_LOG(run, ERROR, "config.invalid",
                "mesh.join names only this node: to found a mesh, give --bootstrap");
        code = RUN_CONFIG;
    }
    if (code == 0 && run_would_lose_root(run, texts)) {
        RUN_LOG(run, ERROR, "data.failed",
                "%s belongs to a mesh founded here, but the store is gone: to re-enter that mesh, "
                "give --join; to found a new one, move that file to a safe place",
                files_path(run->files, "root.key"));
        code = RUN_REFUSED;
    }
    if (code == 0 && !run_read_root(run, texts)) code = RUN_CONFIG;
    if (code == 0) {
        run_fill_core(run, texts, &config->core);
        run_fill_edges(run, texts, config);
        if (node_new(config, &texts->arena, &run->node, &why) != MN_OK) {
            RUN_LOG(run, ERROR, "config.invalid", "%.*s", (int)why.size, (const char *)why.data);
            code = RUN_CONFIG;
        }
    }
    sodium_free(config);
    return code;
}

int run_read_texts(struct run *run, struct run_texts *texts)
{
    struct options_error error;
    texts->seeds = run_list(run, texts, CONFIG_MESH_JOIN, &texts->seeds_count);
    if (servers_read(run->options, &texts->servers, &error) == MN_OK)
        return run_find_token(run, texts);
    RUN_LOG(run, ERROR, "config.invalid", "%s", error.text);
    return RUN_CONFIG;
}

static void run_lock_keys(struct run *run)
{
    struct mn_span keys = core_keys(node_core(run->node));
    if (process_lock(keys.data, keys.size)) return;
    RUN_LOG(run, WARN, "keys.not_locked",
            "the node's keys could be swapped out: raise the limit of locked memory (ulimit -l)");
}

int run_make_node(struct run *run, struct run_texts *texts)
{
    if (sodium_init() < 0) return RUN_FATAL;
    int code = run_build(run, texts);
    if (code == 0) run_lock_keys(run);
    if (code == 0 && options_bool(run->options, CONFIG_DEV))
        RUN_LOG(run, WARN, "node.dev",
                "DEVELOPMENT MODE: any local user may join and call tools; never for real data");
    return code;
}

void run_texts_done(struct run_texts *texts)
{
    servers_done(&texts->servers);
    explicit_bzero(texts->token_text, sizeof texts->token_text);
    explicit_bzero(texts->root, sizeof texts->root);
    explicit_bzero(texts->mcp_seed, sizeof texts->mcp_seed);
    mn_arena_done(&texts->arena);
}
