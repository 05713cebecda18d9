package emrp.s3;

import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentSkipListSet;

/**
 * The directories of a bucket that this process made or emptied. S3 has no directories, but a program that
 * called mkdirs, or deleted the last file of a directory, expects to find it.
 */
final class EmptyDirectories {
  private static final ConcurrentSkipListSet<String> PATHS = new ConcurrentSkipListSet<>();

  private final String bucket;

  EmptyDirectories(String bucket) {
    this.bucket = bucket + "/";
  }

  void add(String key) {
    PATHS.add(bucket + key);
  }

  void addParent(String key) {
    int slash = key.lastIndexOf('/');
    if (slash > 0) {
      add(key.substring(0, slash));
    }
  }

  boolean contains(String key) {
    return PATHS.contains(bucket + key);
  }

  /** The names directly below a prefix that is empty or ends with a slash. */
  Set<String> names(String prefix) {
    String start = bucket + prefix;
    Set<String> names = new TreeSet<>();
    for (String path : PATHS.subSet(start, false, start + Character.MAX_VALUE, false)) {
      names.add(path.substring(start.length()).split("/", 2)[0]);
    }
    return names;
  }

  /** Forgets a directory and all below it. */
  void remove(String key) {
    PATHS.remove(bucket + key);
    PATHS.subSet(bucket + key + "/", bucket + key + "/" + Character.MAX_VALUE).clear();
  }
}
