/* fetch_libcurl.h: libcurl, loaded when it is first needed. It brings nineteen other libraries
 * along (TLS, Kerberos, LDAP, SSH): a node whose servers all are children or plain http:// starts
 * faster without them, and is smaller. */
#ifndef IO_FETCH_LIBCURL_H
#define IO_FETCH_LIBCURL_H

#include <curl/curl.h>

#include "proto/base/status.h"

#undef curl_easy_getinfo /* libcurl's macros; the functions are meant below */
#undef curl_easy_setopt
#undef curl_multi_setopt

#define FETCH_LIBCURL_FUNCTIONS(X) \
    X(easy_cleanup)                \
    X(easy_getinfo)                \
    X(easy_init)                   \
    X(easy_pause)                  \
    X(easy_reset)                  \
    X(easy_setopt)                 \
    X(easy_strerror)               \
    X(global_init)                 \
    X(multi_add_handle)            \
    X(multi_assign)                \
    X(multi_cleanup)               \
    X(multi_info_read)             \
    X(multi_init)                  \
    X(multi_remove_handle)         \
    X(multi_setopt)                \
    X(multi_socket_action)         \
    X(slist_append)                \
    X(slist_free_all)              \
    X(version_info)

/* curl_easy_init() is called as libcurl.easy_init(). */
struct fetch_libcurl {
#define FETCH_LIBCURL_MEMBER(name) __typeof__(curl_##name) *name;
    FETCH_LIBCURL_FUNCTIONS(FETCH_LIBCURL_MEMBER)
#undef FETCH_LIBCURL_MEMBER
};

extern struct fetch_libcurl libcurl;

/* Loads it, once in the life of the process. MN_UNSUPPORTED: it is not there, or not all of it;
 * [why] says so, and what to do. Whoever asks again finds it if it was installed meanwhile. */
MN_MUST_USE mn_status fetch_libcurl_load(const char **why);

#endif
