/* config.h: the options of meshnode, and where their values come from: flags, MESHNODE_ variables,
 * a YAML file and the conf.d beside it. Mistakes are found here, before anything starts, and name
 * file, line, key and what would be right. */
#ifndef IO_CONFIG_H
#define IO_CONFIG_H

#include "node/io/options.h"

enum config_option {
    CONFIG_NODE_NAME = 0,
    CONFIG_NODE_REGION,
    CONFIG_NODE_ZONE,
    CONFIG_NODE_ROLE,
    CONFIG_NODE_WEIGHT,
    CONFIG_NODE_DATA,
    CONFIG_MESH_LISTEN,
    CONFIG_MESH_ADVERTISE,
    CONFIG_MESH_JOIN,
    CONFIG_MESH_TOKEN,
    CONFIG_MESH_BOOTSTRAP,
    CONFIG_MESH_JOIN_REQUIRED,
    CONFIG_AUTHORITY_GRANT_TTL,
    CONFIG_AUTHORITY_GROW,
    CONFIG_AUTHORITY_ROOT,
    CONFIG_ADMIN_GROUP,
    CONFIG_ADMIN_REMOTE_EXEC,
    CONFIG_HTTP_LISTEN,
    CONFIG_HTTP_HOSTS,
    CONFIG_HTTP_BEHIND_PROXY,
    CONFIG_HTTP_AUTH_BEARER,
    CONFIG_MCP_SERVERS_FILES,
    CONFIG_MCP_SERVERS,
    CONFIG_MCP_REPLICAS,
    CONFIG_MCP_MESH_TOOLS,
    CONFIG_CONSENSUS_POLICY,
    CONFIG_LOG_LEVEL,
    CONFIG_LOG_FORMAT,
    CONFIG_DEV,
    CONFIG_COUNT
};

extern const struct option_spec config_specs[CONFIG_COUNT];

/* Fills in what has no constant default: name of this host, data directory of this user. */
void config_set_defaults(struct options *options);

/* Once all is read: defaults that depend on other values. */
void config_settle(struct options *options);

/* The file that is read when none is named: of the system for root, of the user else. The caller
 * frees it with mn_free(). */
char *config_default_path(void);

/* Reads [path] and then conf.d/NAME.yaml beside it in order of names, each with rank OPTION_FILE.
 * MN_NOT_FOUND: there is no file [path] (its conf.d is read all the same). MN_CONFIG. */
MN_MUST_USE mn_status config_read(struct options *options, const char *path,
                                  struct options_error *error);

/* Completes [options], in which only flags are set: file (NULL: the default one, if it is there),
 * environment, defaults; then checks it all. MN_CONFIG. */
MN_MUST_USE mn_status config_load(struct options *options, const char *path, char **environment,
                                  struct options_error *error);

/* The same once more for a running program: flags and environment are those of [old], files are
 * read afresh. options_done(ret) in either case. */
MN_MUST_USE mn_status config_reload(const struct options *old, const char *path,
                                    struct options *ret, struct options_error *error);

/* The YAML text of one file; [name] is for messages. MN_CONFIG. */
MN_MUST_USE mn_status config_parse(struct options *options, const char *name, struct mn_span text,
                                   struct options_error *error);

/* What no value shows alone: ranges, and combinations that are unsafe or contradict each other. */
MN_MUST_USE mn_status config_check(const struct options *options, struct options_error *error);

/* node.weight, once checked; 0: not set. */
uint32_t config_weight(const struct options *options);

/* The host of "host:port" is this machine only: 127.0.0.0/8, ::1, localhost. */
bool config_is_loopback(struct mn_span address);

#endif
