package emrp.s3;

import java.io.BufferedOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileAlreadyExistsException;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.PathIsNotEmptyDirectoryException;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.util.Progressable;

/**
 * Hadoop's file system on a bucket, for {@code s3://}, {@code s3a://} and {@code s3n://}.
 *
 * <p>A path is a key of the bucket, except where {@link ScratchDirectory} holds it. Not atomic: renaming a
 * directory moves its objects one by one.
 */
public final class S3FileSystem extends FileSystem {
  private static final long BLOCK_SIZE = 128L << 20; // how Spark splits a large object

  private URI uri;
  private Path workingDirectory;
  private S3Client client;
  private ScratchDirectory scratch;
  private EmptyDirectories emptyDirectories;

  @Override
  public void initialize(URI name, Configuration conf) throws IOException {
    super.initialize(name, conf);
    setConf(conf);
    String bucket = name.getAuthority();
    uri = URI.create(name.getScheme() + "://" + bucket);
    workingDirectory = new Path(uri + "/");
    client = new S3Client(S3Endpoint.fromEnvironment(), bucket);
    scratch = new ScratchDirectory(bucket);
    emptyDirectories = new EmptyDirectories(bucket);
  }

  @Override
  public String getScheme() {
    return uri.getScheme();
  }

  @Override
  public URI getUri() {
    return uri;
  }

  @Override
  public String getCanonicalServiceName() {
    return null; // there are no delegation tokens
  }

  @Override
  public long getDefaultBlockSize(Path path) {
    return BLOCK_SIZE;
  }

  @Override
  public Path getWorkingDirectory() {
    return workingDirectory;
  }

  @Override
  public void setWorkingDirectory(Path path) {
    workingDirectory = makeQualified(path);
  }

  @Override
  public FileStatus getFileStatus(Path path) throws IOException {
    return find(path).orElseThrow(() -> new FileNotFoundException("No such file or directory: " + makeQualified(path)));
  }

  @Override
  public FileStatus[] listStatus(Path path) throws IOException {
    FileStatus status = getFileStatus(path);
    if (!status.isDirectory()) {
      return new FileStatus[] {status};
    }
    String key = key(path);
    return ScratchDirectory.holds(key) ? listScratch(key) : listObjects(key.isEmpty() ? "" : key + "/");
  }

  @Override
  public FSDataInputStream open(Path path, int bufferSize) throws IOException {
    FileStatus status = getFileStatus(path);
    if (status.isDirectory()) {
      throw new FileNotFoundException("Is a directory: " + status.getPath());
    }
    String key = key(path);
    if (ScratchDirectory.holds(key)) {
      return LocalFileSystem.getLocal(getConf()).getRaw().open(new Path(scratch.resolve(key).toUri()), bufferSize);
    }
    S3Object object = new S3Object(key, status.getLen(), status.getModificationTime());
    return new FSDataInputStream(new S3InputStream(client, object, statistics));
  }

  @Override
  public FSDataOutputStream create(
      Path path,
      FsPermission permission,
      boolean overwrite,
      int bufferSize,
      short replication,
      long blockSize,
      Progressable progress)
      throws IOException {
    Optional<FileStatus> present = find(path);
    if (present.isPresent() && (present.get().isDirectory() || !overwrite)) {
      throw new FileAlreadyExistsException("Exists already: " + present.get().getPath());
    }
    String key = key(path);
    if (!ScratchDirectory.holds(key)) {
      return new FSDataOutputStream(new S3OutputStream(client, key), statistics);
    }
    java.nio.file.Path file = scratch.resolve(key);
    Files.createDirectories(file.getParent());
    return new FSDataOutputStream(new BufferedOutputStream(Files.newOutputStream(file)), statistics);
  }

  @Override
  public FSDataOutputStream append(Path path, int bufferSize, Progressable progress) {
    throw new UnsupportedOperationException("S3 cannot append to an object");
  }

  @Override
  public boolean mkdirs(Path path, FsPermission permission) throws IOException {
    String key = key(path);
    if (ScratchDirectory.holds(key)) {
      Files.createDirectories(scratch.resolve(key));
      return true;
    }
    if (!key.isEmpty() && client.head(key).isPresent()) {
      throw new FileAlreadyExistsException("Exists as a file: " + makeQualified(path));
    }
    emptyDirectories.add(key);
    return true;
  }

  @Override
  public boolean delete(Path path, boolean recursive) throws IOException {
    String key = key(path);
    if (ScratchDirectory.holds(key)) {
      return scratch.delete(key);
    }
    Optional<FileStatus> status = find(path);
    if (status.isEmpty()) {
      return false;
    }
    if (status.get().isDirectory()) {
      deleteDirectory(key, recursive);
    } else {
      client.delete(key);
    }
    emptyDirectories.addParent(key);
    return true;
  }

  @Override
  public boolean rename(Path source, Path target) throws IOException {
    Optional<FileStatus> moved = find(source);
    Optional<FileStatus> present = find(target);
    if (moved.isEmpty() || (present.isPresent() && !present.get().isDirectory())) {
      return false;
    }
    String from = key(source);
    String to = key(present.isPresent() ? new Path(target, source.getName()) : target);
    if (to.equals(from) || to.startsWith(from + "/")) {
      return false;
    }
    boolean withinScratch = ScratchDirectory.holds(from) && ScratchDirectory.holds(to);
    if (moved.get().isDirectory() && !withinScratch) {
      moveDirectory(from, to);
    } else {
      move(from, to);
    }
    return true;
  }

  private Optional<FileStatus> find(Path path) throws IOException {
    String key = key(path);
    java.nio.file.Path local = scratch.resolve(key);
    if (ScratchDirectory.holds(key)) {
      return Files.exists(local) ? Optional.of(status(local)) : Optional.empty();
    }
    Optional<S3Object> object = key.isEmpty() ? Optional.empty() : client.head(key);
    if (object.isPresent()) {
      return object.map(this::status);
    }
    // The question to S3 comes first: it fails where there is no such bucket.
    boolean directory =
        client.exists(key.isEmpty() ? "" : key + "/")
            || key.isEmpty()
            || emptyDirectories.contains(key)
            || Files.isDirectory(local); // a committer writes below it
    return directory ? Optional.of(directory(key)) : Optional.empty();
  }

  private FileStatus[] listScratch(String key) throws IOException {
    List<FileStatus> found = new ArrayList<>();
    try (Stream<java.nio.file.Path> places = Files.list(scratch.resolve(key))) {
      for (java.nio.file.Path place : places.sorted().toList()) {
        found.add(status(place));
      }
    }
    return found.toArray(FileStatus[]::new);
  }

  private FileStatus[] listObjects(String prefix) throws IOException {
    S3Listing listing = client.listDirectory(prefix);
    TreeMap<String, FileStatus> found = new TreeMap<>();
    for (String name : emptyDirectories.names(prefix)) {
      found.put(prefix + name, directory(prefix + name));
    }
    for (String below : listing.prefixes()) {
      String key = below.substring(0, below.length() - 1);
      found.put(key, directory(key));
    }
    for (S3Object object : listing.objects()) {
      if (!object.key().endsWith("/") && !object.key().endsWith("_$folder$")) { // both stand for a directory
        found.put(object.key(), status(object));
      }
    }
    return found.values().toArray(FileStatus[]::new);
  }

  private void deleteDirectory(String key, boolean recursive) throws IOException {
    List<S3Object> objects = client.listAll(key.isEmpty() ? "" : key + "/");
    if (!objects.isEmpty() && !recursive) {
      throw new PathIsNotEmptyDirectoryException(path(key).toString());
    }
    for (S3Object object : objects) {
      client.delete(object.key());
    }
    scratch.delete(key);
    emptyDirectories.remove(key);
  }

  private void moveDirectory(String from, String to) throws IOException {
    if (ScratchDirectory.holds(from)) {
      for (java.nio.file.Path file : scratch.files(from)) {
        String key = scratch.key(file);
        move(key, to + key.substring(from.length()));
      }
      scratch.delete(from);
    } else {
      for (S3Object object : client.listAll(from + "/")) {
        move(object.key(), to + object.key().substring(from.length()));
      }
      emptyDirectories.remove(from);
      emptyDirectories.addParent(from);
    }
    mkdirs(path(to), FsPermission.getDirDefault());
  }

  /** Moves one object or file, or a whole directory within scratch. */
  private void move(String from, String to) throws IOException {
    if (ScratchDirectory.holds(to)) {
      moveToScratch(from, scratch.resolve(to));
    } else if (ScratchDirectory.holds(from)) {
      client.upload(to, scratch.resolve(from));
      Files.delete(scratch.resolve(from));
    } else {
      client.copy(from, to);
      client.delete(from);
      emptyDirectories.addParent(from);
    }
  }

  private void moveToScratch(String from, java.nio.file.Path to) throws IOException {
    Files.createDirectories(to.getParent());
    if (ScratchDirectory.holds(from)) {
      Files.move(scratch.resolve(from), to);
      return;
    }
    try (FSDataInputStream content = open(path(from))) {
      Files.copy(content, to);
    }
    client.delete(from);
  }

  private FileStatus status(S3Object object) {
    return file(object.key(), object.size(), object.lastModified());
  }

  private FileStatus status(java.nio.file.Path local) throws IOException {
    String key = scratch.key(local);
    if (Files.isDirectory(local)) {
      return directory(key);
    }
    return file(key, Files.size(local), Files.getLastModifiedTime(local).toMillis());
  }

  private FileStatus file(String key, long size, long modified) {
    return new FileStatus(size, false, 1, BLOCK_SIZE, modified, path(key));
  }

  private FileStatus directory(String key) {
    return new FileStatus(0, true, 1, BLOCK_SIZE, 0, path(key));
  }

  /** The key of a path; without a slash at its end, since Hadoop's paths have none. */
  private String key(Path path) {
    String absolute = makeQualified(path).toUri().getPath();
    return absolute.isEmpty() ? "" : absolute.substring(1);
  }

  private Path path(String key) {
    return new Path(uri.getScheme(), uri.getAuthority(), "/" + key); // parses nothing: a key may hold a colon
  }
}
