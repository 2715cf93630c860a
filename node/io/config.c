#include "node/io/config.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/authority.h"
#include "crypto/grant.h"
#include "crypto/token.h"
#include "mesh/membership.h"
#include "mesh/record.h"
#include "node/core/policy.h"
#include "node/io/files.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20)
#define CONFIG_FILES_MAX 256 /* in conf.d */
#define CONFIG_BEARER_MIN 32 /* characters */
#define CONFIG_PATH_SIZE 4096
#define CONFIG_HTTP_LISTENERS_MAX 8u

#define CONFIG_LIST OPTION_IS_LIST
#define CONFIG_SECRET OPTION_IS_SECRET

const struct option_spec config_specs[CONFIG_COUNT] = {
    [CONFIG_NODE_NAME] = {"node.name", "name", OPTION_TEXT, 0, NULL, NULL, "NAME",
                          "name of this node: a-z, 0-9 and -; default: the host's"},
    [CONFIG_NODE_REGION] = {"node.region", "region", OPTION_TEXT, 0, "", NULL, "REGION",
                            "region this node is in"},
    [CONFIG_NODE_ZONE] = {"node.zone", "zone", OPTION_TEXT, 0, "", NULL, "ZONE",
                          "zone within the region"},
    [CONFIG_NODE_ROLE] = {"node.role", "role", OPTION_CHOICE, 0, "auto", "voter|learner|edge|auto",
                          "ROLE", "role asked for when joining: voter, learner, edge or auto"},
    [CONFIG_NODE_WEIGHT] = {"node.weight", "weight", OPTION_TEXT, 0, "", NULL, "N",
                            "how much its vote should count, 1 to 1000; default: as all others"},
    [CONFIG_NODE_DATA] = {"node.data", "data", OPTION_TEXT, 0, NULL, NULL, "DIR",
                          "data directory; default: /var/lib/meshnode, or the user's own"},
    [CONFIG_MESH_LISTEN] = {"mesh.listen", "listen", OPTION_ADDRESS, CONFIG_LIST, "0.0.0.0:7000",
                            NULL, "ADDR:PORT", "where other nodes connect to; port 0: any"},
    [CONFIG_MESH_ADVERTISE] = {"mesh.advertise", "advertise", OPTION_ADDRESS, CONFIG_LIST, NULL,
                               NULL, "ADDR:PORT",
                               "address told to others; default: found out from listen"},
    [CONFIG_MESH_JOIN] = {"mesh.join", "join", OPTION_ADDRESS, CONFIG_LIST, NULL, NULL, "HOST:PORT",
                          "a node of the mesh to join"},
    [CONFIG_MESH_TOKEN] = {"mesh.token", "token", OPTION_TEXT, CONFIG_SECRET, NULL, NULL,
                           "TOKEN|@FILE", "join token, or the file that holds it"},
    [CONFIG_MESH_BOOTSTRAP] = {"mesh.bootstrap", "bootstrap", OPTION_BOOL, 0, "false", NULL,
                               "true|false", "found a new mesh, even though --join is given"},
    [CONFIG_MESH_JOIN_REQUIRED] = {"mesh.join_required", "join-required", OPTION_BOOL, 0, "false",
                                   NULL, "true|false",
                                   "exit with 75 when joining takes longer than 30 s"},
    [CONFIG_AUTHORITY_GRANT_TTL] = {"authority.grant_ttl", NULL, OPTION_DURATION, 0, "30d", NULL,
                                    "DURATION",
                                    "life of the grants of a mesh founded here, 1h to 365d"},
    [CONFIG_AUTHORITY_GROW] = {"authority.grow", NULL, OPTION_BOOL, 0, "true", NULL, "true|false",
                               "the founder makes two more voters issuers, once there are two"},
    [CONFIG_AUTHORITY_ROOT] = {"authority.root", "root", OPTION_TEXT, 0, "", NULL, "FILE",
                               "with `authority recover`: the mesh's root.key; this member becomes "
                               "the only issuer"},
    [CONFIG_ADMIN_GROUP] = {"admin.group", NULL, OPTION_TEXT, 0, "", NULL, "GROUP",
                            "group whose members may use the admin socket too"},
    [CONFIG_ADMIN_REMOTE_EXEC] = {"admin.remote_exec", NULL, OPTION_BOOL, 0, "false", NULL,
                                  "true|false",
                                  "let administrators of other nodes run commands here"},
    [CONFIG_HTTP_LISTEN] = {"http.listen", "http", OPTION_ADDRESS, CONFIG_LIST, "127.0.0.1:7080",
                            NULL, "ADDR:PORT", "where MCP clients connect to; port 0: any"},
    [CONFIG_HTTP_HOSTS] = {"http.hosts", NULL, OPTION_TEXT, CONFIG_LIST, NULL, NULL, "HOST",
                           "host names, besides the loopback ones, that clients may ask for"},
    [CONFIG_HTTP_BEHIND_PROXY] = {"http.behind_proxy", NULL, OPTION_BOOL, 0, "false", NULL,
                                  "true|false",
                                  "a proxy that speaks TLS stands in front of http.listen"},
    [CONFIG_HTTP_AUTH_BEARER] = {"http.auth.bearer", NULL, OPTION_TEXT, CONFIG_LIST | CONFIG_SECRET,
                                 NULL, NULL, "SECRET",
                                 "bearer secrets of MCP clients, 32 characters or more each"},
    [CONFIG_MCP_SERVERS_FILES] = {"mcp.servers_files", "servers", OPTION_TEXT, CONFIG_LIST, NULL,
                                  NULL, "FILE", "mcpServers JSON file with servers of this node"},
    [CONFIG_MCP_SERVERS] = {"mcp.servers", "server", OPTION_TEXT, CONFIG_LIST, NULL, NULL,
                            "NAME=COMMAND|URL", "an MCP server: a command line or a URL"},
    [CONFIG_MCP_REPLICAS] = {"mcp.replicas", NULL, OPTION_TEXT, CONFIG_LIST, NULL, NULL, "NAME",
                             "servers that hold the same data on every node that has them"},
    [CONFIG_MCP_MESH_TOOLS] = {"mcp.mesh_tools", NULL, OPTION_CHOICE, 0, "read", "read|write",
                               "WHAT",
                               "what MCP clients may do with the mesh's own tools: read, or write "
                               "(set keys, propose, vote)"},
    [CONFIG_CONSENSUS_POLICY] =
        {"consensus.policy", NULL, OPTION_TEXT, CONFIG_LIST, NULL, NULL, "RULE",
         "how this node votes on decisions by itself: TOPIC [is VALUE] VOTE "
         "[if METRIC < NUMBER ...] [else VOTE]; none: it does not"},
    [CONFIG_LOG_LEVEL] = {"log.level", "log-level", OPTION_CHOICE, 0, "info",
                          "debug|info|warn|error", "LEVEL", "debug, info, warn or error"},
    [CONFIG_LOG_FORMAT] = {"log.format", "log-format", OPTION_CHOICE, 0, "text", "text|json",
                           "FORMAT", "text (key=value) or json"},
    [CONFIG_DEV] = {"dev", "dev", OPTION_BOOL, 0, "false", NULL, "true|false",
                    "for one machine: loopback only, admits every local user"},
};

static mn_status config_fail(struct options_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static mn_status config_fail(struct options_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return MN_CONFIG;
}

/* ---- defaults ---- */

/* The host name's first label, in the alphabet of node names. */
static void config_host_name(char name[GRANT_NAME_SIZE])
{
    char host[256] = "";
    size_t size = 0;
    gethostname(host, sizeof host - 1);
    for (const char *c = host; *c != '\0' && *c != '.' && size < GRANT_NAME_SIZE - 1; c++) {
        char lower = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        bool is_known = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        name[size++] = is_known ? lower : '-';
    }
    if (size == 0) name[size++] = 'n';
    name[size] = '\0';
}

static void config_user_path(const char *variable, const char *home_part, const char *rest,
                             char path[CONFIG_PATH_SIZE])
{
    const char *base = getenv(variable), *home = getenv("HOME");
    if (base != NULL && base[0] == '/')
        snprintf(path, CONFIG_PATH_SIZE, "%s/%s", base, rest);
    else
        snprintf(path, CONFIG_PATH_SIZE, "%s/%s/%s", home == NULL ? "" : home, home_part, rest);
}

static void config_set_default(struct options *options, enum config_option option, const char *text)
{
    struct options_error error;
    const struct mn_span item = mn_span_str(text);
    mn_status status = options_set(options, option, OPTION_DEFAULT, "default", &item, 1, &error);
    MN_ASSERT(status == MN_OK);
}

void config_set_defaults(struct options *options)
{
    char name[GRANT_NAME_SIZE], path[CONFIG_PATH_SIZE] = "/var/lib/meshnode";
    config_host_name(name);
    if (geteuid() != 0) config_user_path("XDG_DATA_HOME", ".local/share", "meshnode", path);
    config_set_default(options, CONFIG_NODE_NAME, name);
    config_set_default(options, CONFIG_NODE_DATA, path);
}

void config_settle(struct options *options)
{
    struct option_value *listen = &options->values[CONFIG_MESH_LISTEN];
    if (options_bool(options, CONFIG_DEV) && listen->rank == OPTION_DEFAULT)
        config_set_default(options, CONFIG_MESH_LISTEN, "127.0.0.1:7000");
}

char *config_default_path(void)
{
    char *path = mn_alloc(CONFIG_PATH_SIZE);
    snprintf(path, CONFIG_PATH_SIZE, "/etc/meshnode/meshnode.yaml");
    if (geteuid() != 0)
        config_user_path("XDG_CONFIG_HOME", ".config", "meshnode/meshnode.yaml", path);
    return path;
}

/* ---- files ---- */

static mn_status config_read_file(struct options *options, const char *path,
                                  struct options_error *error)
{
    struct mn_buf *text = NULL;
    mn_status status = files_read(path, CONFIG_FILE_MAX, &text);
    if (status == MN_NOT_FOUND) {
        (void)config_fail(error, "%.900s: there is no such file", path);
        return MN_NOT_FOUND;
    }
    if (status == MN_TOO_BIG)
        return config_fail(error, "%.900s: larger than %zu bytes", path, CONFIG_FILE_MAX);
    if (status != MN_OK) return config_fail(error, "%.900s: %s", path, strerror(errno));
    status = config_parse(options, path, mn_buf_span(text), error);
    mn_buf_unref(text);
    return status;
}

static int config_is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot != NULL && strcmp(dot, ".yaml") == 0;
}

static mn_status config_read_directory(struct options *options, const char *directory,
                                       struct options_error *error)
{
    struct dirent **entries = NULL;
    char path[CONFIG_PATH_SIZE + NAME_MAX + 2];
    int count = scandir(directory, &entries, config_is_yaml, alphasort);
    mn_status status = MN_OK;
    if (count < 0) {
        if (errno == ENOENT) return MN_OK;
        return config_fail(error, "%.900s: %s", directory, strerror(errno));
    }
    if (count > CONFIG_FILES_MAX)
        status = config_fail(error, "%.900s: more than %d files", directory, CONFIG_FILES_MAX);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (status == MN_OK) status = config_read_file(options, path, error);
        free(entries[i]);
    }
    free(entries);
    return status == MN_NOT_FOUND ? MN_CONFIG : status; /* listed, then gone */
}

mn_status config_read(struct options *options, const char *path, struct options_error *error)
{
    char directory[CONFIG_PATH_SIZE];
    const char *slash = strrchr(path, '/');
    struct options_error later;
    mn_status status = config_read_file(options, path, error);
    if (status != MN_OK && status != MN_NOT_FOUND) return status;
    int length = slash == NULL ? snprintf(directory, sizeof directory, "conf.d")
                               : snprintf(directory, sizeof directory, "%.*s/conf.d",
                                          (int)(slash - path), path);
    if (length >= (int)sizeof directory) return config_fail(error, "the path is too long");
    if (config_read_directory(options, directory, &later) == MN_OK) return status;
    *error = later;
    return MN_CONFIG;
}

static mn_status config_read_any(struct options *options, const char *path,
                                 struct options_error *error)
{
    char *usual = config_default_path();
    mn_status status = config_read(options, path == NULL ? usual : path, error);
    mn_free(usual);
    if (status == MN_NOT_FOUND) status = path == NULL ? MN_OK : MN_CONFIG;
    return status;
}

mn_status config_load(struct options *options, const char *path, char **environment,
                      struct options_error *error)
{
    config_set_defaults(options);
    mn_status status = config_read_any(options, path, error);
    if (status == MN_OK) status = options_read_environment(options, environment, error);
    if (status != MN_OK) return status;
    config_settle(options);
    return config_check(options, error);
}

static mn_status config_copy_value(const struct options *from, uint32_t index, struct options *to,
                                   struct options_error *error)
{
    const struct option_value *value = &from->values[index];
    struct mn_span items[OPTIONS_ITEMS_MAX];
    for (uint32_t i = 0; i < value->items_count; i++)
        items[i] = mn_span_str(value->items[i]);
    return options_set(to, index, value->rank, value->origin, items, value->items_count, error);
}

mn_status config_reload(const struct options *old, const char *path, struct options *ret,
                        struct options_error *error)
{
    mn_status status = MN_OK;
    options_init(ret, old->specs, old->count);
    for (uint32_t i = 0; i < old->count && status == MN_OK; i++) {
        if (old->values[i].rank >= OPTION_ENVIRONMENT)
            status = config_copy_value(old, i, ret, error);
    }
    char *no_environment[] = {NULL};
    if (status == MN_OK) status = config_load(ret, path, no_environment, error);
    return status;
}

/* ---- what must fit together ---- */

bool config_is_loopback(struct mn_span address)
{
    const uint8_t *colon = address.size == 0 ? NULL : memrchr(address.data, ':', address.size);
    struct mn_span host =
        colon == NULL ? address : mn_span(address.data, (size_t)(colon - address.data));
    unsigned parts[4];
    char text[16], rest;
    if (mn_span_is(host, "localhost") || mn_span_is(host, "[::1]")) return true;
    if (host.size >= sizeof text) return false;
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    return sscanf(text, "%3u.%3u.%3u.%3u%c", &parts[0], &parts[1], &parts[2], &parts[3], &rest) ==
               4 &&
           parts[0] == 127;
}

static mn_status config_check_loopback(const struct options *options, enum config_option option,
                                       const char *why, struct options_error *error)
{
    const struct option_value *value = &options->values[option];
    for (uint32_t i = 0; i < value->items_count; i++) {
        if (config_is_loopback(mn_span_str(value->items[i]))) continue;
        return config_fail(error, "%.200s: %s: %.200s is not a loopback address; %s", value->origin,
                           config_specs[option].key, value->items[i], why);
    }
    return MN_OK;
}

static mn_status config_check_http(const struct options *options, struct options_error *error)
{
    const struct option_value *bearer = &options->values[CONFIG_HTTP_AUTH_BEARER];
    for (uint32_t i = 0; i < bearer->items_count; i++) {
        if (strlen(bearer->items[i]) >= CONFIG_BEARER_MIN) continue;
        return config_fail(error, "%.200s: http.auth.bearer: a secret has less than %d characters",
                           bearer->origin, CONFIG_BEARER_MIN);
    }
    if (bearer->items_count == 0)
        return config_check_loopback(options, CONFIG_HTTP_LISTEN,
                                     "beyond loopback http.auth.bearer is needed", error);
    if (!options_bool(options, CONFIG_HTTP_BEHIND_PROXY))
        return config_check_loopback(
            options, CONFIG_HTTP_LISTEN,
            "put a proxy that speaks TLS in front and set http.behind_proxy: true", error);
    return MN_OK;
}

static mn_status config_check_dev(const struct options *options, struct options_error *error)
{
    static const char why[] = "--dev admits every local user and is for loopback only";
    if (!options_bool(options, CONFIG_DEV)) return MN_OK;
    mn_status status = config_check_loopback(options, CONFIG_MESH_LISTEN, why, error);
    if (status == MN_OK) status = config_check_loopback(options, CONFIG_HTTP_LISTEN, why, error);
    return status;
}

static mn_status config_check_token(const struct options *options, struct options_error *error)
{
    const struct option_value *value = &options->values[CONFIG_MESH_TOKEN];
    struct token token;
    if (value->items_count == 0 || value->items[0][0] == '@') return MN_OK;
    mn_status status = token_decode(mn_span_str(value->items[0]), &token);
    if (status == MN_OK) token_done(&token);
    if (status == MN_BAD_SIGNATURE)
        return config_fail(error, "%.200s: mesh.token: mistyped, its check characters are wrong",
                           value->origin);
    if (status != MN_OK)
        return config_fail(error, "%.200s: mesh.token: not a token (mnt1-...) or pin (mnp1-...)",
                           value->origin);
    return MN_OK;
}

static mn_status config_check_count(const struct options *options, enum config_option option,
                                    uint32_t count_max, struct options_error *error)
{
    const struct option_value *value = &options->values[option];
    if (value->items_count <= count_max) return MN_OK;
    return config_fail(error, "%.200s: %s: more than %u values", value->origin,
                       config_specs[option].key, count_max);
}

static mn_status config_check_counts(const struct options *options, struct options_error *error)
{
    mn_status status = config_check_count(options, CONFIG_MESH_LISTEN, RECORD_ADDRS_MAX, error);
    if (status == MN_OK)
        status = config_check_count(options, CONFIG_MESH_ADVERTISE, RECORD_ADDRS_MAX, error);
    if (status == MN_OK)
        status = config_check_count(options, CONFIG_MESH_JOIN, MEMBERSHIP_SEEDS_MAX, error);
    if (status == MN_OK)
        status = config_check_count(options, CONFIG_HTTP_LISTEN, CONFIG_HTTP_LISTENERS_MAX, error);
    return status;
}

/* Names that travel in signed records. */
static mn_status config_check_names(const struct options *options, struct options_error *error)
{
    static const enum config_option regions[] = {CONFIG_NODE_REGION, CONFIG_NODE_ZONE};
    const char *name = options_text(options, CONFIG_NODE_NAME);
    if (!grant_name_is_valid(mn_span_str(name)))
        return config_fail(error,
                           "%.200s: node.name: \"%.100s\" is not 1 to %d characters of a-z, 0-9, -",
                           options->values[CONFIG_NODE_NAME].origin, name, GRANT_NAME_SIZE - 1);
    for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++) {
        const char *region = options_text(options, regions[i]);
        if (grant_region_is_valid(mn_span_str(region))) continue;
        return config_fail(error,
                           "%.200s: %s: \"%.100s\" is not up to %d characters of a-z, 0-9, -",
                           options->values[regions[i]].origin, config_specs[regions[i]].key, region,
                           GRANT_REGION_SIZE - 1);
    }
    return MN_OK;
}

uint32_t config_weight(const struct options *options)
{
    const char *text = options_text(options, CONFIG_NODE_WEIGHT);
    uint32_t weight = 0;

    for (; *text >= '0' && *text <= '9' && weight <= RECORD_WEIGHT_MAX; text++)
        weight = 10 * weight + (uint32_t)(*text - '0');
    return *text == '\0' && weight <= RECORD_WEIGHT_MAX ? weight : 0;
}

static mn_status config_check_weight(const struct options *options, struct options_error *error)
{
    const char *text = options_text(options, CONFIG_NODE_WEIGHT);
    if (*text == '\0' || config_weight(options) > 0) return MN_OK;
    return config_fail(error, "%.200s: node.weight: \"%.100s\" is not a number from 1 to %u",
                       options->values[CONFIG_NODE_WEIGHT].origin, text, RECORD_WEIGHT_MAX);
}

static mn_status config_check_policy(const struct options *options, struct options_error *error)
{
    const struct option_value *value = &options->values[CONFIG_CONSENSUS_POLICY];
    mn_status status =
        config_check_count(options, CONFIG_CONSENSUS_POLICY, POLICY_RULES_MAX, error);
    struct policy_rule rule;
    const char *why;

    for (uint32_t i = 0; status == MN_OK && i < value->items_count; i++)
        if (policy_parse(mn_span_str(value->items[i]), &rule, &why) != MN_OK)
            status = config_fail(error, "%.200s: consensus.policy: \"%.200s\": %s", value->origin,
                                 value->items[i], why);
    return status;
}

mn_status config_check(const struct options *options, struct options_error *error)
{
    uint64_t ttl_ms = options_duration(options, CONFIG_AUTHORITY_GRANT_TTL) / MN_MS;
    if (ttl_ms < AUTHORITY_TTL_MIN_MS || ttl_ms > AUTHORITY_TTL_MAX_MS)
        return config_fail(error, "%.200s: authority.grant_ttl: not within 1h and 365d",
                           options->values[CONFIG_AUTHORITY_GRANT_TTL].origin);
    mn_status status = config_check_names(options, error);
    if (status == MN_OK) status = config_check_weight(options, error);
    if (status == MN_OK) status = config_check_counts(options, error);
    if (status == MN_OK) status = config_check_policy(options, error);
    if (status == MN_OK) status = config_check_token(options, error);
    if (status == MN_OK) status = config_check_dev(options, error);
    if (status == MN_OK) status = config_check_http(options, error);
    return status;
}
