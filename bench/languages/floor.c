/* The upcall of Floor.java. JAVA_HOME is that of a JDK, OUT the folder of bindings/java/build.sh:
 *
 *     cc -O2 -shared -fPIC -I $JAVA_HOME/include -I $JAVA_HOME/include/linux bench/languages/floor.c -o libfloor.so
 *     javac -cp OUT/lockstep.jar -d floor bench/languages/Floor.java bindings/java/examples/Counter.java
 *     java -cp OUT/lockstep.jar:floor Floor $PWD/libfloor.so 5000 200
 */
#include <jni.h>

JNIEXPORT void JNICALL Java_Floor_upcalls(JNIEnv *env, jclass type, jlong count) {
    const jmethodID empty = (*env)->GetStaticMethodID(env, type, "empty", "()V");
    for (jlong at = 0; at < count; at++) {
        (*env)->CallStaticVoidMethod(env, type, empty);
        if ((*env)->ExceptionCheck(env)) return;
    }
}
