/* Where this node can be reached: listeners, addresses told to others, run.json. */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/process.h"
#include "node/io/run_internal.h"
#include "node/json/json.h"

static uint16_t run_port(const char *address)
{
    return (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
}

static int run_listen_failed(struct run *run, const char *flag, const char *address,
                             const char *error)
{
    const char *holder = "";
    uint16_t port = run_port(address);
    /* Each library has its own words for EADDRINUSE; these are in all of them. */
    bool is_held = port != 0 && strstr(error, "in use") != NULL;
    if (is_held) holder = process_of_port(port);
    RUN_LOG(run, ERROR, "listen.failed", "%s: %s%s%s; choose another with --%s", address, error,
            is_held ? " by " : "", holder, flag);
    return RUN_UNAVAILABLE;
}

static int run_listen_mesh(struct run *run)
{
    const struct option_value *value = &run->options->values[CONFIG_MESH_LISTEN];
    for (uint32_t i = 0; i < value->items_count; i++) {
        const char *error = "";
        char *bound = run->mesh_bound[run->mesh_bound_count];
        if (net_listen(run->net, value->items[i], bound, &error) != MN_OK)
            return run_listen_failed(run, "listen", value->items[i], error);
        run->mesh_bound_count++;
    }
    return 0;
}

static int run_listen_http(struct run *run)
{
    const struct option_value *value = &run->options->values[CONFIG_HTTP_LISTEN];
    for (uint32_t i = 0; i < value->items_count; i++) {
        const char *error = "";
        char *bound = run->http_bound[run->http_bound_count];
        if (http_listen(run->http, value->items[i], bound, &error) != MN_OK)
            return run_listen_failed(run, "http", value->items[i], error);
        run->http_bound_count++;
    }
    return 0;
}

static int run_listen_socket(struct run *run, const char *path, int64_t group)
{
    const char *error = "";
    if (http_listen_admin(run->http, path, group, &error) == MN_OK) return 0;
    RUN_LOG(run, ERROR, "listen.failed", "%s: %s", path, error);
    return RUN_UNAVAILABLE;
}

/* A second admin socket, in a directory that the group may enter: the data directory is ours. */
static int run_listen_group(struct run *run)
{
    const char *name = options_text(run->options, CONFIG_ADMIN_GROUP);
    const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    char directory[4096], path[4096 + 16];
    if (name[0] == '\0') return 0;
    const struct group *group = getgrnam(name);
    if (group == NULL) {
        RUN_LOG(run, ERROR, "config.invalid", "admin.group: there is no group \"%s\"", name);
        return RUN_CONFIG;
    }
    snprintf(directory, sizeof directory, "%s/meshnode", runtime == NULL ? "/tmp" : runtime);
    snprintf(path, sizeof path, "%s/admin.sock", directory);
    if ((mkdir(directory, 0750) != 0 && errno != EEXIST) ||
        chown(directory, (uid_t)-1, group->gr_gid) != 0 || chmod(directory, 0750) != 0) {
        RUN_LOG(run, ERROR, "listen.failed", "%s: %s", directory, strerror(errno));
        return RUN_REFUSED;
    }
    return run_listen_socket(run, path, group->gr_gid);
}

/* What others can dial: what is configured; else what is bound, and for "any address" the first
 * address of an interface that is not the loopback one. */
static void run_add_advertised(struct run *run, const char *host, const char *port)
{
    if (run->advertised_count == RUN_BOUND_MAX) return;
    char *text = run->advertised[run->advertised_count++];
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(text, RUN_ADVERTISED_SIZE, is_v6 ? "[%.200s]:%.10s" : "%.200s:%.10s", host, port);
}

static bool run_interface_address(char *host, size_t size)
{
    uv_interface_address_t *addresses = NULL;
    int count = 0;
    bool is_found = false;
    if (uv_interface_addresses(&addresses, &count) != 0) return false;
    for (int i = 0; i < count && !is_found; i++) {
        if (addresses[i].is_internal || addresses[i].address.address4.sin_family != AF_INET)
            continue;
        is_found = uv_ip4_name(&addresses[i].address.address4, host, size) == 0;
    }
    uv_free_interface_addresses(addresses, count);
    return is_found;
}

static void run_advertise_bound(struct run *run, const char *bound)
{
    char host[RUN_ADDRESS_SIZE];
    const char *colon = strrchr(bound, ':');
    bool is_v6 = bound[0] == '[';
    snprintf(host, sizeof host, "%.*s", (int)(colon - bound) - 2 * is_v6, bound + is_v6);
    bool is_any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    if (is_any && !run_interface_address(host, sizeof host))
        snprintf(host, sizeof host, is_v6 ? "::1" : "127.0.0.1");
    run_add_advertised(run, host, colon + 1);
}

static void run_find_advertised(struct run *run)
{
    const struct option_value *value = &run->options->values[CONFIG_MESH_ADVERTISE];
    for (uint32_t i = 0; i < value->items_count && i < RUN_BOUND_MAX; i++)
        snprintf(run->advertised[run->advertised_count++], RUN_ADVERTISED_SIZE, "%s",
                 value->items[i]);
    for (uint32_t i = 0; i < run->mesh_bound_count && value->items_count == 0; i++)
        run_advertise_bound(run, run->mesh_bound[i]);
}

int run_listen(struct run *run)
{
    int code = run_listen_mesh(run);
    if (code == 0) code = run_listen_http(run);
    if (code == 0) code = run_listen_socket(run, files_path(run->files, "admin.sock"), -1);
    if (code == 0) code = run_listen_group(run);
    if (code == 0) run_find_advertised(run);
    return code;
}

/* ---- run.json ---- */

static void run_write_addresses(struct mn_writer *to, const char *key,
                                char bound[RUN_BOUND_MAX][RUN_ADDRESS_SIZE], uint32_t count)
{
    mn_writer_format(to, ",\n  \"%s\": [", key);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) mn_writer_str(to, ", ");
        json_write_string(to, mn_span_str(bound[i]));
    }
    mn_writer_str(to, "]");
}

int run_write_state(struct run *run)
{
    struct mn_writer to = {0};
    struct files_error error;
    mn_writer_format(&to, "{\n  \"pid\": %d,\n  \"version\": \"%s\"", (int)getpid(), MN_VERSION);
    run_write_addresses(&to, "mesh", run->mesh_bound, run->mesh_bound_count);
    run_write_addresses(&to, "http", run->http_bound, run->http_bound_count);
    mn_writer_str(&to, ",\n  \"admin\": ");
    json_write_string(&to, mn_span_str(files_path(run->files, "admin.sock")));
    mn_writer_str(&to, "\n}\n");
    struct mn_buf *text = mn_writer_done(&to);
    mn_status status = files_write(run->files, "run.json", mn_buf_span(text), &error);
    mn_buf_unref(text);
    if (status != MN_OK)
        RUN_LOG(run, ERROR, "files.failed", "%s", error.text);
    else
        RUN_LOG(run, INFO, "node.listening", "mesh %s, http %s",
                run->mesh_bound_count > 0 ? run->mesh_bound[0] : "none",
                run->http_bound_count > 0 ? run->http_bound[0] : "none");
    return status == MN_OK ? 0 : RUN_UNAVAILABLE;
}
