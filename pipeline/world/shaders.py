"""GLSL of the synthetic world's renderer: shadow maps, geometry buffer, ambient occlusion, colour, sky."""

GEOMETRY_VERTEX = """
#version 330
uniform mat4 u_clip_from_cam;
uniform mat4 u_cam_from_world;
uniform mat4 u_model;
in vec3 in_position; in vec4 in_normal; in vec2 in_uv; in vec4 in_albedo; in vec4 in_light; in int in_id;
out vec3 v_cam; out vec3 v_normal; out vec2 v_uv; out vec4 v_albedo; out vec4 v_light; flat out int v_id;
void main() {
    vec4 cam = u_cam_from_world * (u_model * vec4(in_position, 1.0));
    v_cam = cam.xyz;
    v_normal = mat3(u_cam_from_world) * (mat3(u_model) * (in_normal.xyz * (255.0 / 127.0) - 1.0));
    v_uv = in_uv; v_albedo = in_albedo; v_light = in_light; v_id = in_id;
    gl_Position = u_clip_from_cam * vec4(cam.xyz, 1.0);
}
"""

_OCTAHEDRAL = """
vec2 octahedral(vec3 n) {
    n /= abs(n.x) + abs(n.y) + abs(n.z);
    vec2 s = vec2(n.x >= 0.0 ? 1.0 : -1.0, n.y >= 0.0 ? 1.0 : -1.0);
    return n.z >= 0.0 ? n.xy : (1.0 - abs(n.yx)) * s;
}
"""

GEOMETRY_FRAGMENT = (
    """
#version 330
uniform sampler2D u_texture;
in vec3 v_cam; in vec3 v_normal; in vec2 v_uv; in vec4 v_albedo; in vec4 v_light; flat in int v_id;
layout(location = 0) out vec4 out_geometry;
layout(location = 1) out vec4 out_albedo;
layout(location = 2) out vec4 out_light;
"""
    + _OCTAHEDRAL
    + """
void main() {
    vec4 texel = texture(u_texture, v_uv);
    CUTOUT
    float size = dot(v_normal, v_normal);
    vec3 n = size > 1e-8 ? v_normal * inversesqrt(size) : -normalize(v_cam);
    if (dot(n, v_cam) > 0.0) n = -n;
    out_geometry = vec4(v_cam.z, octahedral(n), float(v_id));
    out_albedo = vec4(v_albedo.rgb * texel.rgb, v_albedo.a);  // gamma 2 stands for sRGB: software samplers decode slowly
    out_light = v_light;
}
"""
)

_UNPACK = """
vec3 unpack(vec2 e) {
    vec3 n = vec3(e, 1.0 - abs(e.x) - abs(e.y));
    float t = max(-n.z, 0.0);
    n.xy += vec2(n.x >= 0.0 ? -t : t, n.y >= 0.0 ? -t : t);
    return normalize(n);
}
"""

SHADOW_VERTEX = """
#version 330
uniform mat4 u_clip_from_world;
in vec3 in_position; in vec2 in_uv;
out vec2 v_uv;
void main() { v_uv = in_uv; gl_Position = u_clip_from_world * vec4(in_position, 1.0); }
"""

SHADOW_FRAGMENT = """
#version 330
uniform sampler2D u_texture;
in vec2 v_uv;
void main() { CUTOUT }
"""

SCREEN_VERTEX = """
#version 330
in vec2 in_corner;
out vec2 v_screen;
void main() { v_screen = in_corner * 0.5 + 0.5; gl_Position = vec4(in_corner, 1.0, 1.0); }
"""

OCCLUSION_FRAGMENT = (
    """
#version 330
// Screen-space ambient occlusion: the share of a hemisphere that nearby surfaces hide (Alchemy estimator, McGuire 2011).
uniform sampler2D u_geometry; uniform vec4 u_lens; uniform float u_radius;
in vec2 v_screen;
out float out_open;
"""
    + _UNPACK
    + """
vec3 point(vec2 s, float z) { return vec3((s * u_lens.zw) * z, z); }
void main() {
    vec4 g = textureLod(u_geometry, v_screen, 0.0);
    if (g.x <= 0.0) { out_open = 1.0; return; }
    vec2 s0 = v_screen - u_lens.xy;
    vec3 p = point(s0, g.x), n = unpack(g.yz);
    vec2 pixel = gl_FragCoord.xy;
    float spin = 6.2831853 * fract(52.9829189 * fract(dot(pixel, vec2(0.06711056, 0.00583715))));
    vec2 reach = min(u_radius / (g.x * u_lens.zw), vec2(0.25));
    float sum = 0.0;
    for (int i = 0; i < SAMPLES; i++) {
        float a = spin + float(i) * 2.399963;
        float r = sqrt((float(i) + 0.5) / float(SAMPLES));
        vec2 s = v_screen + reach * r * vec2(cos(a), sin(a));
        float z = textureLod(u_geometry, s, 0.0).x;
        vec3 v = point(s - u_lens.xy, z <= 0.0 ? 1e6 : z) - p;
        float d2 = dot(v, v);
        float fade = max(0.0, 1.0 - d2 / (u_radius * u_radius * 1.5));
        sum += fade * max(0.0, dot(v, n) - 0.004 * p.z - 0.003) * inversesqrt(d2 + 1e-6);
    }
    out_open = clamp(1.0 - 1.6 * sum / float(SAMPLES), 0.0, 1.0);
}
"""
)

BLUR_FRAGMENT = """
#version 330
uniform sampler2D u_occlusion; uniform sampler2D u_geometry; uniform vec2 u_texel;
in vec2 v_screen;
out float out_open;
void main() {
    float z0 = textureLod(u_geometry, v_screen, 0.0).x, sum = 0.0, weight = 0.0;
    for (int y = -1; y <= 1; y++) for (int x = -1; x <= 1; x++) {
        vec2 s = v_screen + vec2(x, y) * u_texel * 1.3;
        float w = exp(-abs(textureLod(u_geometry, s, 0.0).x - z0) * 8.0 / (0.1 + z0)) + 1e-4;
        sum += w * textureLod(u_occlusion, s, 0.0).x; weight += w;
    }
    out_open = sum / weight;
}
"""

TONE = """
uniform vec3 u_exposure; uniform vec3 u_tone; uniform vec2 u_size; uniform float u_vignette;
vec3 tone(vec3 c) {
    // exposure and white balance, soft shoulder, saturation, contrast about middle grey, sRGB
    vec2 r = gl_FragCoord.xy / u_size - 0.5;
    c *= u_exposure * (1.0 - u_vignette * dot(r, r));
    c = 1.0 - exp(-c);
    float grey = dot(c, vec3(0.25, 0.6, 0.15));
    c = max(mix(vec3(grey), c, u_tone.y), 0.0);
    c = pow(c, vec3(1.0 / 2.2));
    c = clamp(c + u_tone.x * (c - 0.45) * (1.0 - abs(2.0 * c - 1.0)), 0.0, 1.0);
    return mix(vec3(u_tone.z), vec3(1.0), c);
}
"""

SKY = """
uniform vec3 u_zenith; uniform vec3 u_horizon; uniform vec3 u_cloud; uniform float u_cover;
uniform vec3 u_to_sun; uniform vec3 u_sun; uniform sampler2D u_clouds;
vec3 sky(vec3 d) {
    float h = max(d.z, 0.0);
    vec3 c = mix(u_horizon, u_zenith, 1.0 - pow(1.0 - h, 3.0));
    float glow = max(dot(d, u_to_sun), 0.0);
    c += u_sun * (0.02 * pow(glow, 8.0) + 0.15 * pow(glow, 90.0) + 3.0 * smoothstep(0.9994, 0.9998, glow));
    vec2 p = d.xy / (h + 0.12);
    vec2 layers = vec2(textureLod(u_clouds, p * 0.11, 0.0).r, textureLod(u_clouds, p * 0.37, 0.0).r);
    float density = dot(layers * layers, vec2(0.7, 0.3));
    float amount = smoothstep(1.0 - u_cover, 1.25 - u_cover, density + 0.12) * smoothstep(0.0, 0.12, h);
    float shade = 1.0 - 0.35 * smoothstep(0.4, 1.0, density) * amount;
    return mix(c, u_cloud * shade, amount);
}
"""

SHADE_FRAGMENT = (
    """
#version 330
LIGHTS
uniform sampler2D u_geometry; uniform sampler2D u_albedo; uniform sampler2D u_light; uniform sampler2D u_open;
uniform sampler2D u_environment; uniform sampler2DShadow u_sun_shadow; uniform sampler2DShadow u_lamp_shadow;
uniform mat4 u_world_from_cam; uniform mat4 u_sun_clip; uniform mat4 u_lamp_clip; uniform vec4 u_lens;
uniform vec3 u_to_sun; uniform vec3 u_sun; uniform float u_sun_soft;
uniform vec3 u_lamp_position; uniform vec3 u_lamp_color; uniform float u_lamp_soft;
uniform vec3 u_fog; uniform float u_fog_density; uniform float u_light_scale;
in vec2 v_screen;
out vec4 out_color;
"""
    + TONE
    + _UNPACK
    + """
float lit(sampler2DShadow map, vec3 p, float soft, float bias) {
    if (any(lessThan(p.xy, vec2(0.0))) || any(greaterThan(p.xy, vec2(1.0))) || p.z > 1.0) return 1.0;
    float spin = 6.2831853 * fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
    vec2 a = vec2(cos(spin), sin(spin)) * soft, b = vec2(-a.y, a.x);
    float z = p.z - bias;
    return 0.25 * (texture(map, vec3(p.xy + a, z)) + texture(map, vec3(p.xy - 0.6 * a, z))
                 + texture(map, vec3(p.xy + 0.8 * b, z)) + texture(map, vec3(p.xy - 0.4 * b, z)));
}
vec3 environment(vec3 d, float level) {
    vec2 s = vec2(atan(d.y, d.x) / 6.2831853 + 0.5, acos(clamp(d.z, -1.0, 1.0)) / 3.14159265);
    return textureLod(u_environment, s, level).rgb;
}
void main() {
    vec4 g = textureLod(u_geometry, v_screen, 0.0), a = textureLod(u_albedo, v_screen, 0.0);
    vec4 stored = textureLod(u_light, v_screen, 0.0);
    vec3 ray = vec3((v_screen - u_lens.xy) * u_lens.zw, 1.0) * g.x;
    float range = length(ray);
    mat3 turn = mat3(u_world_from_cam);
    vec3 world = turn * ray + u_world_from_cam[3].xyz, to_eye = turn * (ray / -range), n = turn * unpack(g.yz);
    vec3 albedo = a.rgb * a.rgb;
    float gloss = a.a;
    float open = texture(u_open, v_screen).r;
    vec3 light = stored.rgb * stored.rgb * (u_light_scale * open);
    vec3 shine = vec3(0.0);
    float sharp = exp2(3.0 + 7.0 * gloss);
#ifdef SUN
    float toward = dot(n, u_to_sun);
    if (toward > 0.0) {
        vec4 p = u_sun_clip * vec4(world + 0.02 * n, 1.0);
        float s = toward * lit(u_sun_shadow, p.xyz, u_sun_soft, 0.0006);
        light += u_sun * (s * 0.3183);
        shine += u_sun * (s * pow(max(dot(n, normalize(u_to_sun + to_eye)), 0.0), sharp) * sharp * 0.04);
    }
#endif
#ifdef LAMP
    {
        vec3 l = u_lamp_position - world;
        float d2 = dot(l, l);
        l *= inversesqrt(d2);
        float c = dot(n, l);
        if (c > 0.0) {
            vec4 p = u_lamp_clip * vec4(world + 0.03 * n, 1.0);
            float s = p.w > 0.0 ? lit(u_lamp_shadow, p.xyz / p.w, u_lamp_soft, 0.0012) : 0.35;
            s *= c / max(d2, 0.06);
            light += u_lamp_color * (s * 0.3183);
            shine += u_lamp_color * (s * pow(max(dot(n, normalize(l + to_eye)), 0.0), sharp) * sharp * 0.04);
        }
    }
#endif
    float fresnel = 0.04 + 0.96 * pow(1.0 - max(dot(n, to_eye), 0.0), 5.0);
    vec3 r = reflect(-to_eye, n);
    vec3 mirror = environment(r, 5.0 * (1.0 - gloss)) * (0.4 + 0.6 * open);
    float strength = gloss * gloss + 0.25 * gloss;
    vec3 color = albedo * (light + stored.a * u_light_scale) + strength * (fresnel * mirror + 0.5 * shine);
    color = mix(u_fog, color, exp(-u_fog_density * range));
    out_color = vec4(tone(color), 1.0);
}
"""
)

SKY_FRAGMENT = (
    """
#version 330
uniform mat4 u_world_from_cam; uniform vec4 u_lens; uniform vec3 u_fog; uniform float u_fog_density;
in vec2 v_screen;
out vec4 out_color;
"""
    + TONE
    + SKY
    + """
void main() {
    vec3 d = normalize(mat3(u_world_from_cam) * vec3((v_screen - u_lens.xy) * u_lens.zw, 1.0));
    vec3 c = sky(d);
    c = mix(c, u_fog, clamp(u_fog_density * 60.0, 0.0, 0.8) * exp(-8.0 * max(d.z, 0.0)));
    out_color = vec4(tone(c), 1.0);
}
"""
)

EDGES_FRAGMENT = """
#version 330
// Smooths stair-steps: blends along the local edge direction, found from luminance (after FXAA, Lottes 2009).
uniform sampler2D u_image; uniform vec2 u_texel;
in vec2 v_screen;
out vec4 out_color;
float luma(vec3 c) { return dot(c, vec3(0.299, 0.587, 0.114)); }
void main() {
    vec3 m = textureLod(u_image, v_screen, 0.0).rgb;
    vec3 a = textureLod(u_image, v_screen + vec2(-0.5, -0.5) * u_texel, 0.0).rgb;
    vec3 b = textureLod(u_image, v_screen + vec2(0.5, -0.5) * u_texel, 0.0).rgb;
    vec3 c = textureLod(u_image, v_screen + vec2(-0.5, 0.5) * u_texel, 0.0).rgb;
    vec3 d = textureLod(u_image, v_screen + vec2(0.5, 0.5) * u_texel, 0.0).rgb;
    float la = luma(a), lb = luma(b), lc = luma(c), ld = luma(d), lm = luma(m);
    float low = min(lm, min(min(la, lb), min(lc, ld))), high = max(lm, max(max(la, lb), max(lc, ld)));
    if (high - low < max(0.03, 0.09 * high)) { out_color = vec4(m, 1.0); return; }
    vec2 along = vec2((lc + ld) - (la + lb), (la + lc) - (lb + ld));
    along /= min(abs(along.x), abs(along.y)) + max(0.03 * (la + lb + lc + ld), 0.008);
    along = clamp(along, -6.0, 6.0) * u_texel;
    vec3 close = 0.5 * (textureLod(u_image, v_screen - along / 6.0, 0.0).rgb
                      + textureLod(u_image, v_screen + along / 6.0, 0.0).rgb);
    vec3 wide = 0.5 * close + 0.25 * (textureLod(u_image, v_screen - along / 2.0, 0.0).rgb
                                    + textureLod(u_image, v_screen + along / 2.0, 0.0).rgb);
    float lw = luma(wide);
    out_color = vec4(lw < low || lw > high ? close : wide, 1.0);
}
"""

CUTOUT_TEST = "if (texture(u_texture, v_uv).a < 0.5) discard;"
