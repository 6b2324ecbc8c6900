# find_package(lockstep): the targets lockstep::lockstep (shared) and lockstep::static, of C and C++.
# /lib may be a link to /usr/lib, whose headers are not in /include.
get_filename_component(_lockstep_prefix "${CMAKE_CURRENT_LIST_DIR}" REALPATH)
get_filename_component(_lockstep_prefix "${_lockstep_prefix}/../../.." ABSOLUTE)

foreach(_lockstep_part include/lockstep.h lib/liblockstep_c.so lib/liblockstep_c.a)
    if(NOT EXISTS "${_lockstep_prefix}/${_lockstep_part}")
        set(lockstep_FOUND FALSE)
        set(lockstep_NOT_FOUND_MESSAGE "${_lockstep_prefix}/${_lockstep_part} is missing: run bindings/c/install.sh again")
        return()
    endif()
endforeach()

find_package(Threads REQUIRED)

if(NOT TARGET lockstep::lockstep)
    add_library(lockstep::lockstep SHARED IMPORTED)
    set_target_properties(lockstep::lockstep PROPERTIES
        IMPORTED_LOCATION "${_lockstep_prefix}/lib/liblockstep_c.so"
        INTERFACE_INCLUDE_DIRECTORIES "${_lockstep_prefix}/include"
        INTERFACE_COMPILE_FEATURES cxx_std_17)
    add_library(lockstep::static STATIC IMPORTED)
    set_target_properties(lockstep::static PROPERTIES
        IMPORTED_LOCATION "${_lockstep_prefix}/lib/liblockstep_c.a"
        INTERFACE_INCLUDE_DIRECTORIES "${_lockstep_prefix}/include"
        INTERFACE_COMPILE_FEATURES cxx_std_17
        INTERFACE_LINK_LIBRARIES "gcc_s;Threads::Threads;${CMAKE_DL_LIBS};m")
endif()

unset(_lockstep_prefix)
unset(_lockstep_part)
