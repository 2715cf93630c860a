#include "node/io/fetch_libcurl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcurl.so.4" /* its name since 2006 */

struct fetch_libcurl libcurl;

#define VERSION_LEAST 0x075500 /* 7.85.0: with all options that are set */

static char fetch_libcurl_fault[256];

static mn_status fetch_libcurl_fail(void *library, const char *text)
{
    snprintf(fetch_libcurl_fault, sizeof fetch_libcurl_fault,
             "https needs " LIBRARY " (on Debian: apt-get install libcurl4): %s",
             text == NULL ? "it cannot be loaded" : text);
    if (library != NULL) dlclose(library);
    return MN_UNSUPPORTED;
}

/* POSIX says that a pointer to a function fits into what dlsym() returns; C has no cast for it. */
static bool fetch_libcurl_find(void *library, const char *name, void *ret, size_t size)
{
    void *found = dlsym(library, name);
    if (found == NULL || size != sizeof found) return false;
    memcpy(ret, &found, sizeof found);
    return true;
}

static mn_status fetch_libcurl_open(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return fetch_libcurl_fail(NULL, dlerror());
#define FETCH_LIBCURL_FIND(name)                                                         \
    if (!fetch_libcurl_find(library, "curl_" #name, &libcurl.name, sizeof libcurl.name)) \
        return fetch_libcurl_fail(library, "it has no curl_" #name);
    FETCH_LIBCURL_FUNCTIONS(FETCH_LIBCURL_FIND)
#undef FETCH_LIBCURL_FIND
    if (libcurl.version_info(CURLVERSION_NOW)->version_num < VERSION_LEAST)
        return fetch_libcurl_fail(library, "it is older than 7.85");
    if (libcurl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* never given back */
        return fetch_libcurl_fail(NULL, "it cannot be initialized");
    return MN_OK;
}

mn_status fetch_libcurl_load(const char **why)
{
    static bool is_loaded;
    if (!is_loaded) is_loaded = fetch_libcurl_open() == MN_OK;
    *why = fetch_libcurl_fault;
    return is_loaded ? MN_OK : MN_UNSUPPORTED;
}
