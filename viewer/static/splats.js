// Draws Gaussian splats with WebGL 2: unpacks the payload, sorts by depth, blends from far to near.
// Conventions: OpenCV cameras (x right, y down, z forward); colour = 0.5 + sum of harmonics, as in 3D Gaussian Splatting.
"use strict";

const TEXELS_PER_ROW = 1024;

// ---- unpacking ------------------------------------------------------------------------------------------------

async function unpack(base64, header) {
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await new Response(stream).arrayBuffer();
  const n = header.count, t = header.times.length, k = (header.sh_units.length + 1) ** 2 - 1;
  let at = 0;
  const take = (type, length) => {
    const size = length * type.BYTES_PER_ELEMENT;
    const array = new type(bytes.slice(at, at + size));
    at += size;
    return array;
  };
  return {
    count: n, coefficients: k, header,
    boxes: take(Float32Array, Math.ceil(n / header.block) * 6),
    position: take(Uint16Array, t * n * 3),
    rotation: take(Uint32Array, t * n),
    scale: take(Uint8Array, n * 3),
    opacity: take(Uint8Array, n),
    color: take(Uint8Array, n * 3),
    sh: take(Int8Array, k * n * 3),
  };
}

function positionsAt(data, frame, out) {
  const { boxes, position, count, header } = data;
  for (let i = 0, p = frame * count * 3; i < count; i++, p += 3) {
    const b = ((i / header.block) | 0) * 6;
    for (let a = 0; a < 3; a++) out[4 * i + a] = boxes[b + a] + (position[p + a] / 65535) * boxes[b + 3 + a];
  }
}

function rotationsAt(data, frame, out) {
  const { rotation, count } = data;
  for (let i = 0; i < count; i++) {
    const word = rotation[frame * count + i], missing = word >>> 30;
    let sum = 0;
    for (let a = 0, shift = 20; a < 4; a++) {
      if (a === missing) continue;
      const value = (((word >>> shift) & 1023) / 1023 * 2 - 1) * Math.SQRT1_2;
      out[4 * i + a] = value;
      sum += value * value;
      shift -= 10;
    }
    out[4 * i + missing] = Math.sqrt(Math.max(0, 1 - sum));
  }
}

// ---- drawing --------------------------------------------------------------------------------------------------

const VERTEX = (degree) => `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D positions, rotations, sizes, colors, harmonics;
uniform mat3 camFromWorld;
uniform vec3 eye, units;
uniform vec2 focal, viewport, tanHalf;
uniform float near;
layout(location = 0) in uint index;
out vec2 offset;
out vec4 rgba;

ivec2 texel(uint i) { return ivec2(i % ${TEXELS_PER_ROW}u, i / ${TEXELS_PER_ROW}u); }
vec3 sh(uint i, int k) { return texelFetch(harmonics, texel(i * ${(degree + 1) ** 2 - 1}u + uint(k)), 0).xyz; }

vec3 shaded(vec3 base, uint i, vec3 d) {
  vec3 c = base;
  float x = d.x, y = d.y, z = d.z;
  ${degree >= 1 ? "c += 0.4886025 * units.x * (-y * sh(i, 0) + z * sh(i, 1) - x * sh(i, 2));" : ""}
  ${degree >= 2 ? `c += units.y * (1.0925484 * (x * y * sh(i, 3) - y * z * sh(i, 4) - x * z * sh(i, 6))
      + 0.3153916 * (2.0 * z * z - x * x - y * y) * sh(i, 5) + 0.5462742 * (x * x - y * y) * sh(i, 7));` : ""}
  ${degree >= 3 ? `c += units.z * (-0.5900436 * y * (3.0 * x * x - y * y) * sh(i, 8) + 2.8906114 * x * y * z * sh(i, 9)
      - 0.4570458 * y * (4.0 * z * z - x * x - y * y) * sh(i, 10)
      + 0.3731763 * z * (2.0 * z * z - 3.0 * x * x - 3.0 * y * y) * sh(i, 11)
      - 0.4570458 * x * (4.0 * z * z - x * x - y * y) * sh(i, 12) + 1.4453057 * z * (x * x - y * y) * sh(i, 13)
      - 0.5900436 * x * (x * x - 3.0 * y * y) * sh(i, 14));` : ""}
  return max(c, 0.0);
}

void main() {
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0);  // outside: not drawn unless everything below is passed
  vec3 world = texelFetch(positions, texel(index), 0).xyz;
  vec3 p = camFromWorld * (world - eye);
  vec4 color = texelFetch(colors, texel(index), 0);
  if (p.z < near || color.a < 1.0 / 255.0) return;

  vec4 q = texelFetch(rotations, texel(index), 0);  // w x y z
  vec3 s = texelFetch(sizes, texel(index), 0).xyz;
  float w = q.x, x = q.y, y = q.z, z = q.w;
  mat3 r = mat3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
                2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
                2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
  mat3 m = camFromWorld * r * mat3(s.x, 0, 0, 0, s.y, 0, 0, 0, s.z);

  // The projection is linearised where the splat is, but not far outside the picture (EWA splatting).
  vec2 ray = clamp(p.xy / p.z, -1.3 * tanHalf, 1.3 * tanHalf);
  vec3 jx = vec3(focal.x / p.z, 0.0, -focal.x * ray.x / p.z);
  vec3 jy = vec3(0.0, focal.y / p.z, -focal.y * ray.y / p.z);
  vec3 u = jx * m, v = jy * m;
  float a = dot(u, u) + 0.3, b = dot(u, v), c = dot(v, v) + 0.3;
  float mid = 0.5 * (a + c), radius = length(vec2(0.5 * (a - c), b));
  float big = mid + radius, small = max(mid - radius, 0.1);
  vec2 axis = abs(b) > 1e-6 ? normalize(vec2(b, big - a)) : (a >= c ? vec2(1, 0) : vec2(0, 1));

  vec2 centre = focal * p.xy / p.z;
  float reach = sqrt(2.0 * log(255.0 * color.a));
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  vec2 major = min(sqrt(big), 2048.0) * axis, minor = min(sqrt(small), 2048.0) * vec2(-axis.y, axis.x);
  offset = corner * reach;
  vec2 pixel = centre + offset.x * major + offset.y * minor;
  gl_Position = vec4(pixel.x * 2.0 / viewport.x, -pixel.y * 2.0 / viewport.y, 0.0, 1.0);
  rgba = vec4(shaded(color.rgb, index, normalize(world - eye)), color.a);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec2 offset;
in vec4 rgba;
out vec4 color;
void main() {
  float alpha = min(rgba.a * exp(-0.5 * dot(offset, offset)), 0.999);
  if (alpha < 1.0 / 255.0) discard;
  color = vec4(rgba.rgb * alpha, alpha);
}`;

class SplatRenderer {
  constructor(canvas, data) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("This browser has no WebGL 2.");
    Object.assign(this, { canvas, gl, data, sortedFrom: null });
    const n = data.count, degree = data.header.sh_units.length;
    this.frame = [new Float32Array(4 * n), new Float32Array(4 * n)];
    this.positions = new Float32Array(4 * n);
    this.rotations = new Float32Array(4 * n);
    this.program = link(gl, VERTEX(degree), FRAGMENT);
    gl.useProgram(this.program);
    this.uniform = (name) => gl.getUniformLocation(this.program, name);
    ["positions", "rotations", "sizes", "colors", "harmonics"].forEach((name, unit) => gl.uniform1i(this.uniform(name), unit));
    this.#constants(degree);
    this.order = new Uint32Array(n);
    this.buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, this.order.byteLength, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(0, 1);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.setTime(0);
  }

  #constants(degree) {
    const { gl, data } = this, { header, count } = data;
    const sizes = new Float32Array(4 * count), colors = new Float32Array(4 * count);
    const between = (range, byte) => range[0] + (range[1] - range[0]) * byte / 255;
    for (let i = 0; i < count; i++) {
      for (let a = 0; a < 3; a++) {
        sizes[4 * i + a] = Math.exp(between(header.scale_range, data.scale[3 * i + a]));
        colors[4 * i + a] = 0.5 + 0.28209479177387814 * between(header.color_range, data.color[3 * i + a]);
      }
      colors[4 * i + 3] = data.opacity[i] / 255;
    }
    upload(gl, 2, sizes);
    upload(gl, 3, colors);
    const k = data.coefficients, texels = new Int8Array(4 * count * Math.max(k, 1));
    for (let j = 0; j < k; j++)
      for (let i = 0; i < count; i++)
        for (let a = 0; a < 3; a++) texels[4 * (i * k + j) + a] = data.sh[3 * (j * count + i) + a];
    upload(gl, 4, texels);
    const unit = (band) => (header.sh_units[band] || 0) * 127;
    if (degree) gl.uniform3f(this.uniform("units"), unit(0), unit(1), unit(2));
  }

  setTime(time) {
    const { times } = this.data.header, last = times.length - 1;
    let i = 0;
    while (i < last - 1 && times[i + 1] <= time) i++;
    const j = Math.min(i + 1, last);
    const weight = j > i ? Math.min(1, Math.max(0, (time - times[i]) / (times[j] - times[i]))) : 0;
    this.#blend(positionsAt, i, j, weight, this.positions, false);
    this.#blend(rotationsAt, i, j, weight, this.rotations, true);
    upload(this.gl, 0, this.positions);
    upload(this.gl, 1, this.rotations);
    this.sortedFrom = null;
  }

  #blend(read, i, j, weight, out, unit) {
    const [before, after] = this.frame;
    read(this.data, i, before);
    if (weight > 0) read(this.data, j, after);
    for (let p = 0; p < out.length; p += 4) {
      let sign = 1, length = 1;
      if (unit && weight > 0) {
        const dot = before[p] * after[p] + before[p + 1] * after[p + 1] + before[p + 2] * after[p + 2] + before[p + 3] * after[p + 3];
        sign = dot < 0 ? -1 : 1;
      }
      for (let a = p; a < p + 4; a++) out[a] = weight > 0 ? before[a] * (1 - weight) + sign * after[a] * weight : before[a];
      if (unit) {
        length = Math.hypot(out[p], out[p + 1], out[p + 2], out[p + 3]) || 1;
        for (let a = p; a < p + 4; a++) out[a] /= length;
      }
    }
  }

  // Far to near by a counting sort of the depths in 65,536 steps.
  #sort(eye, forward) {
    const n = this.data.count, p = this.positions, bins = 65536;
    this.depths ??= new Float32Array(n);
    this.keys ??= new Uint16Array(n);
    this.starts ??= new Uint32Array(bins + 1);
    let near = Infinity, far = -Infinity;
    for (let i = 0; i < n; i++) {
      const z = (p[4 * i] - eye[0]) * forward[0] + (p[4 * i + 1] - eye[1]) * forward[1] + (p[4 * i + 2] - eye[2]) * forward[2];
      const key = z > 0 ? Math.log(z) : -30;  // equal steps of relative depth: near things are sorted finely
      this.depths[i] = key;
      if (z > 0 && key < near) near = key;
      if (key > far) far = key;
    }
    near = Math.max(near, far - 12);
    const scale = (bins - 1) / Math.max(far - near, 1e-9);
    this.starts.fill(0);
    for (let i = 0; i < n; i++) {
      const key = Math.min(bins - 1, Math.max(0, ((far - this.depths[i]) * scale) | 0));
      this.keys[i] = key;
      this.starts[key + 1]++;
    }
    for (let b = 0; b < bins; b++) this.starts[b + 1] += this.starts[b];
    for (let i = 0; i < n; i++) this.order[this.starts[this.keys[i]]++] = i;
    const gl = this.gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.order);
    this.sortedFrom = [...eye, ...forward];
  }

  // camera: eye [3], rotation [9] column-major world-from-camera (right, down, forward), tanHalf [x, y]
  draw(camera) {
    const { gl, canvas } = this, r = camera.rotation, forward = [r[6], r[7], r[8]];
    const from = this.sortedFrom, to = [...camera.eye, ...forward];
    if (!from || to.some((value, i) => Math.abs(value - from[i]) > 1e-5)) this.#sort(camera.eye, forward);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(...this.data.header.backdrop, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniformMatrix3fv(this.uniform("camFromWorld"), true, r);
    gl.uniform3fv(this.uniform("eye"), camera.eye);
    gl.uniform2f(this.uniform("viewport"), canvas.width, canvas.height);
    gl.uniform2f(this.uniform("focal"), canvas.width / (2 * camera.tanHalf[0]), canvas.height / (2 * camera.tanHalf[1]));
    gl.uniform2fv(this.uniform("tanHalf"), camera.tanHalf);
    gl.uniform1f(this.uniform("near"), this.data.header.near);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.data.count);
  }
}

function upload(gl, unit, values) {
  const bytes = values instanceof Int8Array;
  const height = Math.max(1, Math.ceil(values.length / 4 / TEXELS_PER_ROW));
  const padded = new values.constructor(height * TEXELS_PER_ROW * 4);
  padded.set(values);
  gl.activeTexture(gl.TEXTURE0 + unit);
  const texture = gl.textures?.[unit] ?? gl.createTexture();
  (gl.textures ??= [])[unit] = texture;
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  gl.texImage2D(gl.TEXTURE_2D, 0, bytes ? gl.RGBA8_SNORM : gl.RGBA32F, TEXELS_PER_ROW, height, 0, gl.RGBA,
    bytes ? gl.BYTE : gl.FLOAT, padded);
}

function link(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  return program;
}
