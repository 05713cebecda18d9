package emrp.s3;

import java.util.List;

/** What lies below a prefix: objects and, when a delimiter was given, the prefixes that end with it. */
record S3Listing(List<S3Object> objects, List<String> prefixes) {
  boolean isEmpty() {
    return objects.isEmpty() && prefixes.isEmpty();
  }
}
