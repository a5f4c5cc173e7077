// To be preloaded: folders do not say of what type their entries are, as on some file systems.
#include <dirent.h>
#include <dlfcn.h>

#undef readdir
#undef readdir64

extern "C" [[gnu::visibility("default")]] dirent64* readdir64(DIR* folder) {
    using call = dirent64* (*)(DIR*);
    static const call next = reinterpret_cast<call>(::dlsym(RTLD_NEXT, "readdir64"));
    dirent64* const entry = next(folder);
    if (entry) entry->d_type = DT_UNKNOWN;
    return entry;
}
