package emrp.s3;

/** An object as HEAD and LIST describe it; the time is in milliseconds. */
record S3Object(String key, long size, long lastModified) {}
